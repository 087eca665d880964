"""The order of things, as functions of a few integers.

Nothing here keeps state: what stands at place i is computed from i, so a run can
start anywhere and on any number of processes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

_ROUNDS = 4
BLOCK_ROWS = 1024
"""Rows in which every stream of a mixture appears in its exact proportion."""


def permuted(index: np.ndarray, size: int, key: Sequence[int]) -> np.ndarray:
    """Returns where a keyed permutation of 0..size-1 sends each of `index`, int64.

    A Feistel network over the next even power of two, walked until the result lies
    inside: constant memory for any size.

    Args:
        index: [K] int64 in [0, size).
        size: how many things are permuted.
        key: non-negative integers below 2**64 that choose the permutation.

    Source: Luby and Rackoff 1988; cycle walking, Black and Rogaway 2002.
    """
    half = np.uint64(max(1, (max(size - 1, 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    # Two words an integer, and how many: SeedSequence takes (2**32,) for (0, 1), and
    # (1,) for (1, 0).
    words = [len(key), *np.array(key, np.uint64).view(np.uint32).tolist()]
    round_keys = np.random.SeedSequence(words).generate_state(_ROUNDS, np.uint64)
    result = _feistel(index.astype(np.uint64), round_keys, half, mask)
    while (outside := result >= size).any():
        result[outside] = _feistel(result[outside], round_keys, half, mask)
    return result.astype(np.int64)


def _feistel(
    x: np.ndarray, round_keys: np.ndarray, half: np.uint64, mask: np.uint64
) -> np.ndarray:
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
    index: np.ndarray, counts: Sequence[int], key: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which stream serves each place of a mixture, and its how-manieth row.

    Places are cut into blocks of `sum(counts)`; every block holds each stream as
    often as `counts` says, in an order of its own.

    Args:
        index: [K] int64, places in the endless mixture.
        counts: rows of each stream in a block.
        key: non-negative integers that choose the order.

    Returns:
        (streams, rows): two [K] int64 arrays.
    """
    counts = np.asarray(counts, np.int64)
    members = np.repeat(np.arange(len(counts)), counts)
    firsts = np.repeat(np.cumsum(counts) - counts, counts)
    streams, rows = np.empty_like(index), np.empty_like(index)
    blocks, slots = np.divmod(index, len(members))
    for block in np.unique(blocks):
        here = blocks == block
        place = permuted(slots[here], len(members), (*key, int(block)))
        streams[here] = members[place]
        rows[here] = block * counts[members[place]] + place - firsts[place]
    return streams, rows
