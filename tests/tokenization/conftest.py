"""Sample sentences, and vocabularies small enough to train or load in a moment."""

import lzma
from pathlib import Path

import library_folders
import pytest

from amber_jax.tokenization import load_tokenizer, sentencepiece

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
LANGUAGES = ["en", "es", "fr", "pt", "id", "ru", "ar", "hi", "zh"]
VOCAB = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] the cat ##s ##at un ##aff ##able [ ] MASK , . ! "
    "a b c ##a ##b ##c 中 文 ##, na ##ï ##ve É e"
)


@pytest.fixture(scope="session")
def sentences_of():
    """A function: `count` evenly spaced lines of an .xz file."""

    def read(path, count):
        lines = lzma.decompress(path.read_bytes()).decode("utf-8").split("\n")[:-1]
        return [lines[i * len(lines) // count] for i in range(count)]

    return read


@pytest.fixture(scope="session")
def mono_files():
    """The monolingual files of data/sample, one a language."""
    return [SAMPLE / "mono" / f"{language}.txt.xz" for language in LANGUAGES]


@pytest.fixture(scope="session")
def text(mono_files, sentences_of):
    """150 sentences of each language in data/sample."""
    return [line for path in mono_files for line in sentences_of(path, 150)]


@pytest.fixture(scope="session")
def covering(text):
    """SentencePiece with a piece for every character of `text`."""
    return sentencepiece.train(
        text, vocab_size=3000, character_coverage=1.0, byte_fallback=False
    )


@pytest.fixture(scope="session")
def fallback(text):
    """SentencePiece that spells rare characters in bytes."""
    return sentencepiece.train(
        text, vocab_size=2000, character_coverage=0.98, byte_fallback=True
    )


@pytest.fixture(scope="session")
def wordpiece(tmp_path_factory):
    """WordPiece of the pieces in VOCAB."""
    path = tmp_path_factory.mktemp("wordpiece") / "vocab.txt"
    path.write_text(VOCAB.replace(" ", "\n") + "\n", encoding="utf-8")
    return load_tokenizer(path)


@pytest.fixture(scope="session")
def fairseq_folder(text, tmp_path_factory):
    """A folder as XLM-R was first published, with a SentencePiece model alone."""
    folder = tmp_path_factory.mktemp("fairseq")
    library_folders.write_fairseq(folder, text)
    return folder


@pytest.fixture(scope="session")
def xlmr(fairseq_folder):
    """XLM-R's kind: unigrams, two separators, the mask last."""
    return load_tokenizer(fairseq_folder)


@pytest.fixture(scope="session")
def uncased(text, tmp_path_factory):
    """A lower-casing WordPiece whose tokenizer.json alone says what it does."""
    folder = tmp_path_factory.mktemp("uncased")
    library_folders.write_uncased(folder, text)
    return load_tokenizer(folder)


@pytest.fixture(scope="session")
def byte_level(text, tmp_path_factory):
    """RoBERTa's kind: byte-level BPE."""
    folder = tmp_path_factory.mktemp("byte_level")
    library_folders.write_byte_level(folder, text)
    return load_tokenizer(folder)


KINDS = ["covering", "fallback", "wordpiece", "xlmr", "uncased", "byte_level"]


@pytest.fixture(scope="session", params=KINDS)
def tokenizer(request):
    """Each of the tokenizers above."""
    return request.getfixturevalue(request.param)
