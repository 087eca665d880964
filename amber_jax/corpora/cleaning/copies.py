"""Which of many texts stand, the same or much alike, among those before them."""

import hashlib
from collections.abc import Callable, Iterable

import numpy as np

_ROUNDS = 64  # a band that brings more texts together than are alike ends there
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, made odd
_SHIFT = np.uint64(29)

Similar = Callable[[np.ndarray, np.ndarray], np.ndarray]


def text_hashes(texts: Iterable[str]) -> np.ndarray:
    """Returns [N] uint64, equal for equal texts.

    That any two of a billion different texts have equal ones has a probability of .03.
    """
    digests = (
        hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
        for text in texts
    )
    return np.frombuffer(b"".join(digests), np.uint64)


def mixed(columns: np.ndarray) -> np.ndarray:
    """Returns uint64 hashes of the numbers at the same place of each column."""
    hashes = np.zeros(columns.shape[1:], np.uint64)
    for column in columns:
        hashes = (hashes + column.astype(np.uint64) + np.uint64(1)) * _MIX
        hashes ^= hashes >> _SHIFT
    return hashes


def later_copies(keys: np.ndarray) -> np.ndarray:
    """Returns [N] bool: an equal key stands before.

    [7, 8, 7, 7]     [False, False, True, True]
    """
    order = np.argsort(keys, kind="stable")
    later = np.zeros(len(keys), bool)
    later[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return later


def later_similar(keys: np.ndarray, similar: Similar) -> np.ndarray:
    """Returns [N] bool: a similar text with an equal key stands before.

    Of those with one key the first is compared with all others; what is not similar
    to it is left for the next round.

    Args:
        keys: [N], in the order of the texts.
        similar: tells [M] bool of two texts each, by their places [M] and [M].
    """
    later = np.zeros(len(keys), bool)
    members = np.argsort(keys, kind="stable")
    for _ in range(_ROUNDS):
        of_members = keys[members]
        is_first = np.ones(len(members), bool)
        is_first[1:] = of_members[1:] != of_members[:-1]
        if is_first.all():
            break
        place = np.where(is_first, np.arange(len(members)), 0)
        firsts = members[np.maximum.accumulate(place)][~is_first]
        others = members[~is_first]
        is_similar = similar(firsts, others)
        later[others[is_similar]] = True
        members = others[~is_similar]
    return later
