"""Tokenizers for corpus tests: a readable toy in process, a real one on disk."""

import itertools
import zlib
from pathlib import Path

import pytest

from amber_jax.corpora.text import clean_line, read_lines
from amber_jax.tokenization import SpecialTokens, sentencepiece

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"


class WordTokenizer:
    """One token per word; `#7` becomes id 7, so that golden rows can be read."""

    special = SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)
    vocab_size = 1000
    fingerprint = "words"

    def encode(self, text):
        return [self._id(word) for word in text.split()]

    def encode_batch(self, texts):
        return [self.encode(text) for text in texts]

    def _id(self, word):
        if word.startswith("#") and word[1:].isdigit():
            return int(word[1:])
        return 5 + zlib.crc32(word.encode()) % (self.vocab_size - 5)


@pytest.fixture
def words():
    return WordTokenizer()


@pytest.fixture(scope="session")
def sample():
    return SAMPLE


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory):
    """A small SentencePiece model that worker processes can load by path."""
    lines = itertools.chain.from_iterable(
        itertools.islice(read_lines(path), 300)
        for path in sorted((SAMPLE / "mono").glob("*.xz"))
    )
    texts = (clean_line(line, max_bytes=1 << 16)[0] for line in lines)
    tokenizer = sentencepiece.train(
        [text for text in texts if text],
        vocab_size=2500,
        character_coverage=0.98,
        byte_fallback=False,
    )
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(folder)
    return folder
