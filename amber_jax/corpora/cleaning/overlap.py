"""Lines that hold part of an evaluation sentence: a sequence of its words."""

import re
import unicodedata
import zlib
from collections.abc import Iterable

import numpy as np

from amber_jax.corpora.cleaning.copies import mixed

# Thai and Lao, Tibetan, Burmese, Khmer, kana, ideographs: written without spaces.
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_CHARACTER = re.compile(rf"[{_UNSPACED}]")
_NO_WORD = re.compile(r"[^\w\s]|_")  # punctuation and marks


def words_of(text: str) -> tuple[list[str], bool]:
    """Returns the words of a text, and whether most are single characters.

    They have neither case nor punctuation. Where words are not told apart by spaces,
    each character is one.

        "A b, C-d."     ["a", "b", "cd"], False
        "我们，走"       ["我", "们", "走"], True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = _WORD.findall(_NO_WORD.sub("", folded))
    return words, 2 * sum(map(bool, map(_CHARACTER.match, words))) > len(words)


class Overlap:
    """The word sequences of evaluation sentences."""

    def __init__(self, count: int, hashes: np.ndarray):
        """Takes the length of sequences, and what `sequence_hashes` returned for it."""
        self._count = count
        self._hashes = hashes

    def is_in(self, text: str) -> bool:
        """Returns whether a text holds one of the sequences."""
        if not len(self._hashes):
            return False
        hashes = _hashes(text, self._count)
        places = np.searchsorted(self._hashes, hashes)
        return bool((self._hashes.take(places, mode="clip") == hashes).any())


def sequence_hashes(texts: Iterable[str], count: int) -> np.ndarray:
    """Returns the different hashes of all sequences of `count` words: sorted uint64.

    Of texts whose words are single characters the sequences are twice as long.
    """
    parts = [_hashes(text, count) for text in texts]
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *parts]))


def _hashes(text: str, count: int) -> np.ndarray:
    words, are_characters = words_of(text)
    count *= 1 + are_characters
    if len(words) < count:
        return np.zeros(0, np.uint64)
    numbers = np.array([zlib.crc32(word.encode("utf-8", "replace")) for word in words])
    return mixed(np.lib.stride_tricks.sliding_window_view(numbers, count).T)
