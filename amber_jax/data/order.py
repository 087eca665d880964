"""The order of things, as functions of a few integers.

Nothing here keeps state: what stands at place i is computed from i, so a run can
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
    """Returns where a keyed permutation of 0..size-1 sends each of `index`, int64.

    Args:
        index: [K] int64 in [0, size).
        size: how many things are permuted.
        key: chooses the permutation.
    """
    return permuted_each(index, [size], [key], np.zeros_like(index))


def permuted_each(
    index: np.ndarray, sizes: Sequence[int], keys: Sequence[Key], which: np.ndarray
) -> np.ndarray:
    """Returns where permutations[which[k]] sends index[k] for every k, int64.

    A Feistel network over the next even power of two, walked until the result lies
    inside: constant memory for any size. All permutations walk together, because
    most of numpy's time for a few elements is spent in calling it.

    Args:
        index: [K] int64, the k-th in [0, sizes[which[k]]).
        sizes: [P], how many things each permutation permutes.
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
    """Source: the finaliser of splitmix64, Steele et al. 2014."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def block_counts(rates: Mapping[str, float]) -> dict[str, int]:
    """Returns how many of `BLOCK_ROWS` rows each stream gets, by largest remainder.

    No stream with a positive rate is left out: it gets one row at least.
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
    """Returns which stream serves each place of a mixture, and its how-manieth row.

    Places are cut into blocks of `sum(counts)`; every block holds each stream as
    often as `counts` says, in an order of its own.

    Args:
        index: [K] int64, places in the endless mixture.
        counts: rows of each stream in a block.
        key: chooses the order.

    Returns:
        (streams, rows): two [K] int64 arrays.
    """
    sizes = np.asarray(counts, np.int64)
    members = np.repeat(np.arange(len(sizes)), sizes)
    firsts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    blocks, slots = np.divmod(index, len(members))
    touched, which = np.unique(blocks, return_inverse=True)
    keys = [(*key, block) for block in touched.tolist()]
    place = permuted_each(slots, [len(members)] * len(keys), keys, which)
    streams = members[place]
    return streams, blocks * sizes[streams] + place - firsts[place]
