"""The stored model of the reference library, and conversions in one call."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import quiet_conversion
import tiny_checkpoint

from amber_jax.tokenization import load_tokenizer, sentencepiece

STORED = Path(__file__).parents[1] / "data" / "convert"
PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] The the cat ##s , . Un chat 猫 坐 A B ##b"


@pytest.fixture
def hf_tiny(tmp_path):
    """A copy of the stored model's folder, to be spoilt."""
    return Path(shutil.copytree(STORED / "hf_tiny", tmp_path / "hf_tiny"))


@pytest.fixture
def xlmr_tiny(tmp_path):
    """A copy of the stored XLM-R's folder, with a WordPiece of as many pieces."""
    folder = Path(shutil.copytree(STORED / "xlmr_tiny", tmp_path / "xlmr_tiny"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    special = ["[CLS]", "[PAD]", "[SEP]", "[UNK]"]
    pieces = [*special, *(f"Word{n}" for n in range(4, 41)), "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="session")
def expected_xlmr():
    """What the reference library computed with it, and on what."""
    stored = dict(np.load(STORED / "expected_xlmr.npz"))
    return stored | {"token_type_ids": np.zeros_like(stored["input_ids"])}


@pytest.fixture(scope="session")
def expected():
    """What the reference library computed with it."""
    return dict(np.load(STORED / "expected.npz"))


@pytest.fixture(scope="session")
def rows(expected):
    """The rows that it computed that on."""
    return {n: expected[n] for n in ("input_ids", "token_type_ids", "attention_mask")}


@pytest.fixture(scope="session")
def convert():
    """A function that converts and returns the sentences that were told."""
    return quiet_conversion.convert


@pytest.fixture(scope="session")
def wordpiece(tmp_path_factory):
    path = tmp_path_factory.mktemp("wordpiece") / "vocab.txt"
    path.write_text(PIECES.replace(" ", "\n") + "\n", "utf-8")
    return load_tokenizer(path)


@pytest.fixture(scope="session")
def unigram():
    """SentencePiece of a few sentences, with bytes for rare characters."""
    text = [f"{number} words and числа 和 شيء" for number in range(400)]
    return sentencepiece.train(
        text, vocab_size=320, character_coverage=1.0, byte_fallback=True
    )


@pytest.fixture(scope="session")
def without_bytes():
    """SentencePiece that has no way to spell rare characters."""
    text = [f"{number} words and числа 和 شيء" for number in range(400)]
    return sentencepiece.train(
        text, vocab_size=60, character_coverage=1.0, byte_fallback=False
    )


@pytest.fixture(scope="session")
def checkpoint(wordpiece, tmp_path_factory):
    """A checkpoint with every part that there is."""
    folder = tmp_path_factory.mktemp("checkpoint") / "amber"
    parts = ("pooler", "next_sentence")
    return tiny_checkpoint.write(folder, wordpiece, extra_parts=parts)
