"""Real sentences and random BERTs of the reference library.

These tests need PyTorch, `transformers` and `sentence-transformers`, the extra `live`;
./launch/test_long.sh makes their environment. Nothing is fetched from a hub.
"""

import lzma
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Tests compile far more than they compute.
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"

import numpy as np
import pytest
import quiet_conversion
import torch
import transformers

from amber_jax.inference.loading import load_model
from amber_jax.tokenization import load_tokenizer, sentencepiece

ROOT = Path(__file__).parents[2]
MONO = ROOT / "data" / "sample" / "mono"
LANGUAGES = ("ar", "de", "en", "es", "fr", "hi", "id", "pt", "ru", "zh")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

transformers.utils.logging.disable_progress_bar()


def lines_of(language, count):
    """Returns `count` evenly spaced sentences of a language."""
    path = MONO / f"{language}.txt.xz"
    if language == "de":
        path = ROOT / "tests" / "data" / "de.txt.xz"
    lines = lines_in(path)
    count = min(count, len(lines))
    return [lines[i * len(lines) // count] for i in range(count)]


def lines_in(path):
    """Returns the lines of a text file, plain or .xz."""
    opened = lzma.open if path.suffix == ".xz" else open
    with opened(path, "rt", encoding="utf-8", newline="\n") as file:
        return file.read().split("\n")[:-1]


@pytest.fixture(scope="session")
def sentences():
    """Four sentences of each of ten languages."""
    return [line for language in LANGUAGES for line in lines_of(language, 4)]


@pytest.fixture(scope="session")
def many_sentences():
    """All text of the sample, about 64,000 sentences of ten languages."""
    texts = [line for language in LANGUAGES for line in lines_of(language, 4000)]
    for name in ("parallel_train.tsv.xz", "parallel_eval.tsv.xz"):
        for line in lines_in(MONO.parent / name):
            texts += line.split("\t")
    for path in sorted((MONO.parent / "tatoeba").iterdir()):
        texts += lines_in(path)
    return texts


@pytest.fixture(scope="session")
def mbert_vocabulary(tmp_path_factory):
    """The vocab.txt of bert-base-multilingual-cased."""
    path = tmp_path_factory.mktemp("mbert") / "vocab.txt"
    packed = ROOT / "tests" / "data" / "mbert_vocab.txt.xz"
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    return path


@pytest.fixture(scope="session")
def small_vocabulary(mbert_vocabulary, sentences, tmp_path_factory):
    """Those pieces of mBERT that the sentences are made of; their ids are small."""
    tokenizer = load_tokenizer(mbert_vocabulary)
    used = {piece for ids in tokenizer.encode_batch(sentences) for piece in ids}
    pieces = [*SPECIAL, *tokenizer.pieces(sorted(used - set(tokenizer.special.ids())))]
    path = tmp_path_factory.mktemp("small") / "vocab.txt"
    path.write_text("".join(f"{piece}\n" for piece in pieces), "utf-8")
    return path


@pytest.fixture(scope="session")
def unigram(tmp_path_factory):
    """A SentencePiece of all ten languages, with bytes for rare characters."""
    text = [line for language in LANGUAGES for line in lines_of(language, 1000)]
    tokenizer = sentencepiece.train(
        text, vocab_size=6000, character_coverage=0.9995, byte_fallback=True
    )
    folder = tmp_path_factory.mktemp("unigram")
    tokenizer.save(folder)
    return load_tokenizer(folder)


@pytest.fixture(scope="session")
def random_bert():
    """A function: a vocabulary, a folder, sizes and a class to a random model there.

    No two parameters are alike: biases and scales are noisy too.
    """

    def build(vocabulary, folder, *, kind="BertForPreTraining", spread=0.1, **sizes):
        torch.manual_seed(0)
        words = len(vocabulary.read_text("utf-8").split("\n")) - 1
        config = transformers.BertConfig(
            vocab_size=words, initializer_range=spread, **sizes
        )
        model = getattr(transformers, kind)(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=spread / 4)
        model.save_pretrained(folder)
        transformers.BertTokenizer(
            str(vocabulary), do_lower_case=False
        ).save_pretrained(folder)
        return model

    return build


@pytest.fixture(scope="session")
def convert():
    """A function that converts and returns the sentences that were told."""
    return quiet_conversion.convert


@pytest.fixture(scope="session")
def brought_in(convert):
    """A function: a folder of another format to the model that `load_model` gives."""

    def run(source, folder):
        convert(source, f"amber:{folder}")
        return load_model(folder)

    return run


@pytest.fixture
def in_pairs(sentences):
    """A function: a vocab.txt to the sentences in pairs, as the reference has them."""

    def rows(vocabulary):
        tokenizer = transformers.BertTokenizer(str(vocabulary), do_lower_case=False)
        first, second = sentences[::2], sentences[1::2]
        batch = tokenizer(first, second, padding=True, return_tensors="pt")
        assert batch["token_type_ids"].any() and not batch["attention_mask"].all()
        assert (batch["input_ids"] == tokenizer.unk_token_id).sum() < 5
        return dict(batch)

    return rows


@pytest.fixture
def batch(in_pairs, small_vocabulary):
    """Padded pairs with segment ids: input_ids, token_type_ids, attention_mask."""
    return in_pairs(small_vocabulary)


@pytest.fixture
def every_seventh():
    """A function: MLM labels that ask for every seventh real token of a batch."""

    def every_seventh(batch):
        ids = batch["input_ids"]
        chosen = (torch.arange(ids.numel()).reshape(ids.shape) % 7 == 3) & (ids > 4)
        return torch.where(chosen, ids, -100)

    return every_seventh


@pytest.fixture
def labels(batch, every_seventh):
    """What is to be predicted of `batch`."""
    return every_seventh(batch)


@pytest.fixture
def weight_warnings(monkeypatch):
    """What the reference library says about weights while loading."""
    said = []
    logger = transformers.utils.logging.get_logger("transformers")
    for level in ("warning", "error"):
        monkeypatch.setattr(type(logger), level, lambda _, text, *a: said.append(text))
    return said


def largest_difference(array, other):
    """Returns max |array - other|."""
    return float(np.abs(np.asarray(array) - np.asarray(other)).max())
