"""Orders are permutations, mixtures are exact, and neither remembers anything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amber_jax.data.order import (
    BLOCK_ROWS,
    block_counts,
    mixture,
    permuted,
    permuted_each,
)

SIZES = [1, 2, 3, 4, 5, 7, 64, 65, 255, 256, 257, 1000, 1023, 1024, 1025, 10_007]


@pytest.mark.parametrize("size", SIZES)
def test_every_index_is_sent_to_a_place_of_its_own(size):
    places = permuted(np.arange(size), size, (7, 1))
    assert places.dtype == np.int64
    assert np.array_equal(np.sort(places), np.arange(size))


@settings(max_examples=60)
@given(st.integers(1, 3000), st.lists(st.integers(0, 2**40), min_size=1, max_size=6))
def test_any_size_under_any_key_is_a_permutation(size, key):
    assert len(np.unique(permuted(np.arange(size), size, key))) == size


@pytest.mark.parametrize("size", [100, 1023])
def test_keys_choose_different_permutations(size):
    orders = [
        tuple(permuted(np.arange(size), size, key).tolist())
        for key in [(0, 0), (0, 1), (1, 0), (1,), (0, 2), (2**33,), (0, 0, 5)]
    ]
    assert len(set(orders)) == len(orders)


def test_the_order_is_no_shift_and_moves_nearly_everything():
    size = 5000
    places = permuted(np.arange(size), size, (3,))
    assert (places == np.arange(size)).mean() < 0.01
    jumps = np.diff(places) % size
    assert len(np.unique(jumps)) > size / 2


def test_a_subset_goes_where_the_whole_sends_it():
    whole = permuted(np.arange(1000), 1000, (5,))
    wanted = np.array([999, 3, 3, 500])
    assert permuted(wanted, 1000, (5,)).tolist() == whole[wanted].tolist()


def test_permutations_done_together_are_those_done_one_by_one():
    sizes, keys = [1, 7, 1000, 10**12], [(1,), (0, 5), (1, 5), (2**40, 3)]
    which = np.array([3, 0, 1, 2, 2, 1, 3])
    index = np.array([10**11, 0, 6, 999, 0, 0, 1])
    together = permuted_each(index, sizes, keys, which)
    for k, (position, number) in enumerate(zip(index, which, strict=True)):
        alone = permuted(np.array([position]), sizes[number], keys[number])
        assert alone.tolist() == [together[k]]


def test_the_permutation_stays_the_same_from_version_to_version():
    golden = [0, 8, 2, 4, 5, 3, 7, 6, 9, 1]
    assert permuted(np.arange(10), 10, (0, 1, 2)).tolist() == golden


def test_a_huge_size_costs_no_memory():
    size = 10**15
    places = permuted(np.array([0, 1, size - 1]), size, (1,))
    assert ((places >= 0) & (places < size)).all()


RATES = st.dictionaries(
    st.text(st.characters(codec="ascii"), min_size=1, max_size=4),
    st.floats(1e-6, 1.0),
    min_size=1,
    max_size=40,
)


@given(RATES)
def test_a_blocks_counts_follow_the_rates_and_leave_nobody_out(rates):
    counts = block_counts(rates)
    assert counts.keys() == rates.keys()
    assert sum(counts.values()) == BLOCK_ROWS
    assert min(counts.values()) >= 1
    total = sum(rates.values())
    for name, count in counts.items():
        exact = BLOCK_ROWS * rates[name] / total
        assert abs(count - exact) <= len(rates)


def test_counts_are_the_largest_remainders():
    assert block_counts({"a": 0.5, "b": 0.25, "c": 0.25}) == {
        "a": 512,
        "b": 256,
        "c": 256,
    }
    # 341.33 each: one of them gets the row that is left.
    assert sorted(block_counts(dict.fromkeys("abc", 1.0)).values()) == [341, 341, 342]
    assert block_counts({"big": 1.0, "tiny": 1e-9}) == {"big": 1023, "tiny": 1}


@pytest.mark.parametrize("counts", [[5], [3, 1], [600, 400, 23, 1], [1, 1, 1, 1]])
def test_every_block_holds_each_stream_as_often_as_it_should(counts):
    block = sum(counts)
    streams, _ = mixture(np.arange(4 * block), counts, (0, 9))
    for part in np.split(streams, 4):
        assert np.bincount(part, minlength=len(counts)).tolist() == counts


@pytest.mark.parametrize("counts", [[5], [3, 1], [600, 400, 23, 1]])
def test_a_streams_rows_are_counted_without_gap_or_repetition(counts):
    block = sum(counts)
    streams, rows = mixture(np.arange(3 * block), counts, (0, 9))
    for stream, count in enumerate(counts):
        mine = rows[streams == stream]
        assert sorted(mine) == list(range(3 * count))
        # A block never asks for the rows of a later one.
        blocks = np.arange(3 * block)[streams == stream] // block
        assert (mine // count == blocks).all()


def test_blocks_have_orders_of_their_own():
    streams, _ = mixture(np.arange(2 * 64), [32, 32], (0,))
    assert streams[:64].tolist() != streams[64:].tolist()


@settings(max_examples=40)
@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_a_place_of_the_mixture_does_not_depend_on_what_else_is_asked(places):
    together = mixture(np.array(places), [40, 20, 4], (1, 2))
    for index, place in enumerate(places):
        alone = mixture(np.array([place]), [40, 20, 4], (1, 2))
        assert [part[0] for part in alone] == [part[index] for part in together]
