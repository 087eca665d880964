"""Lines that hold part of an evaluation sentence: a sequence of its words."""

import re
import unicodedata
from collections.abc import Iterable

import numpy as np

from amber_jax.corpora.cleaning.copies import text_hashes

# Thai and Lao, Tibetan, Burmese, Khmer, kana, ideographs: written without spaces.
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_CHARACTER = re.compile(rf"[{_UNSPACED}]")
_NO_WORD = re.compile(r"[^\w\s]|_")  # punctuation and marks


def word_sequences(text: str, count: int) -> list[str]:
    """Returns all sequences of `count` words, without case and punctuation.

    Where words are not told apart by spaces, each character is one, and sequences of
    such a text are twice as long.

        "A b, c d.", 3     ["a b c", "b c d"]
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = _WORD.findall(_NO_WORD.sub("", folded))
    if 2 * sum(map(bool, map(_CHARACTER.match, words))) > len(words):
        count *= 2
    return [
        " ".join(words[start : start + count])
        for start in range(len(words) - count + 1)
    ]


class Overlap:
    """The word sequences of evaluation sentences."""

    def __init__(self, count: int, hashes: np.ndarray):
        """Takes the length of sequences, and the sorted uint64 of `sequence_hashes`."""
        self._count = count
        self._hashes = hashes

    def is_in(self, text: str) -> bool:
        """Returns whether a text holds one of the sequences."""
        if not len(self._hashes):
            return False
        found = text_hashes(word_sequences(text, self._count))
        places = np.searchsorted(self._hashes, found)
        return bool((self._hashes.take(places, mode="clip") == found).any())


def sequence_hashes(texts: Iterable[str], count: int) -> np.ndarray:
    """Returns the different hashes of all word sequences of texts: sorted uint64."""
    parts = [text_hashes(word_sequences(text, count)) for text in texts]
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *parts]))
