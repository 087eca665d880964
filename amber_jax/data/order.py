"""The order of things, as functions of a few integers.

Nothing here keeps state: the element at position i is computed from i, so a run can
start anywhere and on any number of processes.
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

Key = Sequence[int]
"""Non-negative integers below 2**64 that choose an order."""

_ROUNDS = 4
BLOCK_ROWS = 1024
"""Rows in which every stream of a mixture appears in its exact proportion."""


def permuted(index: np.ndarray, size: int, key: Key) -> np.ndarray:
    """The images of `index` under a keyed permutation of 0..size-1, [K] int64.

    Args:
        index: [K] int64 in [0, size).
        size: of the permutation.
        key: chooses the permutation.
    """
    return permuted_each(index, [size], [key], np.zeros_like(index))


def permuted_each(
    index: np.ndarray, sizes: Sequence[int], keys: Sequence[Key], which: np.ndarray
) -> np.ndarray:
    """The image of index[k] under permutations[which[k]] for every k, [K] int64.

    A Feistel network over the next even power of two, walked until the result lies
    inside: constant memory for any size. All permutations walk together, because for
    few elements NumPy spends most of its time on calls.

    Args:
        index: [K] int64, the k-th in [0, sizes[which[k]]).
        sizes: [P], of the permutations.
        keys: [P], as of `permuted`.
        which: [K] int64 in [0, P).

    Source: Luby and Rackoff 1988; cycle walking, Black and Rogaway 2002.
    """
    halves = [max(1, (max(size - 1, 1).bit_length() + 1) // 2) for size in sizes]
    half = np.array(halves, np.uint64)[which]
    size = np.array(sizes, np.uint64)[which]
    round_keys = np.stack([_round_keys(tuple(key)) for key in keys], axis=1)[:, which]
    result = np.empty(len(index), np.int64)
    walking, x = np.arange(len(index)), index.astype(np.uint64)
    while walking.size:
        x = _feistel(x, round_keys[:, walking], half[walking])
        inside = x < size[walking]
        result[walking[inside]] = x[inside]
        walking, x = walking[~inside], x[~inside]
    return result


@functools.lru_cache(maxsize=4096)  # of a batch's streams; batches share most of them
def _round_keys(key: tuple[int, ...]) -> np.ndarray:
    # Two words an integer, and how many: SeedSequence takes (2**32,) for (0, 1), and
    # (1,) for (1, 0).
    words = [len(key), *np.array(key, np.uint64).view(np.uint32).tolist()]
    return np.random.SeedSequence(words).generate_state(_ROUNDS, np.uint64)


def _feistel(x: np.ndarray, round_keys: np.ndarray, half: np.ndarray) -> np.ndarray:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = x >> half, x & mask
    for round_key in round_keys:
        left, right = right, left ^ (_mix(right ^ round_key) & mask)
    return (left << half) | right


def _mix(x: np.ndarray) -> np.ndarray:
    """Source: the finalizer of splitmix64, Steele et al. 2014."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def block_counts(rates: Mapping[str, float]) -> dict[str, int]:
    """The rows of each stream in a block of `BLOCK_ROWS`, by largest remainder.

    Every stream with a positive rate gets at least one row.
    """
    total = sum(rates.values())
    exact = {name: BLOCK_ROWS * rate / total for name, rate in rates.items()}
    counts = {name: max(1, int(value)) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: max(0, BLOCK_ROWS - sum(counts.values()))]:
        counts[name] += 1
    while sum(counts.values()) > BLOCK_ROWS:
        counts[max(counts, key=counts.__getitem__)] -= 1
    return counts


def mixture(
    index: np.ndarray, counts: Sequence[int], key: Key
) -> tuple[np.ndarray, np.ndarray]:
    """The stream at each position of a mixture, and the row index within the stream.

    Positions are cut into blocks of `sum(counts)`; every block holds each stream as
    often as `counts` says, in an order of its own.

    Args:
        index: [K] int64, positions in the endless mixture.
        counts: rows of each stream in a block.
        key: chooses the order.

    Returns:
        (streams, rows): two [K] int64 arrays.
    """
    sizes = np.asarray(counts, np.int64)
    members = np.repeat(np.arange(len(sizes)), sizes)
    firsts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    blocks, slots = np.divmod(index, len(members))
    distinct, which = np.unique(blocks, return_inverse=True)
    keys = [(*key, block) for block in distinct.tolist()]
    slots = permuted_each(slots, [len(members)] * len(keys), keys, which)
    streams = members[slots]
    return streams, blocks * sizes[streams] + slots - firsts[slots]
