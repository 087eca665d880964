"""Rows: literal in, literal out; nothing lost; as full as they can be."""

import dataclasses
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amber_jax.corpora.packing import (
    best_fit,
    lay_out,
    pack,
    spans,
    taken_apart,
    text_pairs,
)
from amber_jax.corpora.text import read_many_way
from amber_jax.tokenization import SpecialTokens, load_tokenizer

TESTS = Path(__file__).resolve().parents[1]
SAMPLE = TESTS.parent / "data" / "sample"
SPECIAL = SpecialTokens(pad=0, unk=1, cls=101, sep=102, mask=4)
PAIRS = st.lists(
    st.tuples(
        st.lists(st.integers(5, 99), min_size=1, max_size=8),
        st.lists(st.integers(5, 99), max_size=6),
    ),
    max_size=60,
)


def test_a_row_holds_its_pairs_then_padding_then_span_lengths():
    rows = [[([7, 8], [9]), ([5], [])], [([6], [6])]]
    assert lay_out(rows, SPECIAL, row_length=10, max_pairs=2).tolist() == [
        [101, 7, 8, 102, 9, 102, 101, 5, 102, 0, 4, 2, 3, 0],
        [101, 6, 102, 6, 102, 0, 0, 0, 0, 0, 3, 2, 0, 0],
    ]


TEXTS = [
    # lines                      piece  pairs
    ([],                          2,    []),
    ([[1], [2], [3]],             2,    [([1], [2]), ([3], [])]),
    ([[1], None, [2], [3]],       2,    [([1], []), ([2], [3])]),
    ([[1, 2, 3], [4], None, [5]], 2,    [([1, 2], [3]), ([4], []), ([5], [])]),
    ([None, [1, 2, 3, 4, 5]],     2,    [([1, 2], [3, 4]), ([5], [])]),
    ([[1], [2, 3, 4], [5], [6]],  2,    [([1], []), ([2, 3], [4]), ([5], [6])]),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "piece", "pairs"), TEXTS)
def test_neighboring_pieces_of_a_document_form_pairs(lines, piece, pairs):
    assert text_pairs(lines, piece) == pairs


def test_the_longest_pair_comes_first_and_the_tightest_row_is_filled():
    pairs = [([1] * n, []) for n in (2, 5, 4, 1)]  # 4, 7, 6 and 3 tokens
    rows = best_fit(pairs, row_length=10, max_pairs=8)
    assert [[len(x) for x, _ in row] for row in rows] == [[5, 1], [4, 2]]


def test_a_row_takes_no_more_than_max_pairs():
    rows = best_fit([([1], [1])] * 5, row_length=100, max_pairs=2)
    assert [len(row) for row in rows] == [2, 2, 1]


@given(PAIRS, st.integers(17, 40), st.integers(1, 4))
def test_packing_loses_and_repeats_no_pair(pairs, row_length, max_pairs):
    rows, left = pack(pairs, row_length=row_length, max_pairs=max_pairs)
    assert sorted([*(p for row in rows for p in row), *left]) == sorted(pairs)
    assert all(len(row) <= max_pairs for row in rows)
    assert all(sum(sum(spans(p)) for p in row) <= row_length for row in rows)


def test_two_separators_stand_between_the_sides():
    special = dataclasses.replace(SPECIAL, separators=2)
    rows = [[([7, 8], [9]), ([5], [])]]
    assert lay_out(rows, special, row_length=11, max_pairs=2).tolist() == [
        [101, 7, 8, 102, 102, 9, 102, 101, 5, 102, 0, 4, 3, 3, 0]
    ]


@given(PAIRS, st.integers(1, 2))
def test_taking_records_apart_undoes_laying_out(pairs, separators):
    shape = {"row_length": 30, "max_pairs": 3}
    special = dataclasses.replace(SPECIAL, separators=separators)
    rows = best_fit(pairs, **shape, separators=separators)
    records = lay_out(rows, special, **shape)
    apart = taken_apart(records, row_length=30, separators=separators)
    assert list(apart) == [p for row in rows for p in row]
    assert records.dtype == np.int32


@pytest.fixture(scope="module")
def real_pairs(tmp_path_factory):
    """English-French and English-Hindi pairs in mBERT's word pieces."""
    vocabulary = tmp_path_factory.mktemp("mbert") / "vocab.txt"
    packed = (TESTS / "data" / "mbert_vocab.txt.xz").read_bytes()
    vocabulary.write_bytes(lzma.decompress(packed))
    tokenizer = load_tokenizer(vocabulary)
    _, lines = read_many_way(SAMPLE / "parallel_train.tsv.xz")
    texts = [(x["en"], x[code]) for x in lines for code in ("fr", "hi") if code in x]
    sides = (tokenizer.encode_batch(list(side)) for side in zip(*texts, strict=True))
    return list(zip(*sides, strict=True))


@pytest.mark.parametrize(
    ("row_length", "side", "fill"),
    # Two pairs of more than 64 tokens cannot share 128 positions: there, 95 % is
    # what the lower bound on the number of rows allows.
    [(128, 62, 0.95), (256, 62, 0.98), (256, 126, 0.98)],
)
def test_rows_of_real_pairs_are_as_full_as_they_can_be(
    real_pairs, row_length, side, fill
):
    pairs = [pair for pair in real_pairs if max(map(len, pair)) <= side]
    rows, left = pack(pairs, row_length=row_length, max_pairs=8)
    rows += best_fit(left, row_length=row_length, max_pairs=8)
    lengths = [sum(spans(pair)) for pair in pairs]
    assert sum(lengths) / (len(rows) * row_length) >= fill
    assert len(rows) <= 1.01 * lower_bound(lengths, row_length)


def lower_bound(lengths, row_length):
    """Fewest rows any packing needs (Martello and Toth 1990, bound L2)."""
    return max(
        sum(n > row_length / 2 for n in lengths)
        + max(0, -(-_overflow(lengths, row_length, small) // row_length))
        for small in range(row_length // 2 + 1)
    )


def _overflow(lengths, row_length, small):
    room = sum(
        row_length - n for n in lengths if row_length / 2 < n <= row_length - small
    )
    return sum(n for n in lengths if small <= n <= row_length / 2) - room
