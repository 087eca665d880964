import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amber_jax.corpora.packing import taken_apart
from amber_jax.inference.row_batches import row_batches
from amber_jax.tokenization.tokenizer import SpecialTokens

SPECIAL = SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)


def lone(lengths):
    """A lone text of each length, with specials; its pieces say which it is."""
    return [[([100 + i] * (length - 2), [])] for i, length in enumerate(lengths)]


def batches_of(lengths, **options):
    return list(row_batches(lone(lengths), SPECIAL, **options))


@settings(max_examples=50)
@given(
    st.lists(st.integers(2, 512), max_size=300),
    st.sampled_from([1, 512, 2048, 8192]),
    st.sampled_from([1, 3, 8]),
)
def test_batches_hold_every_text_once_in_few_shapes(lengths, tokens, multiple):
    batches = batches_of(lengths, tokens=tokens, multiple=multiple)
    texts, held = lone(lengths), []
    for batch in batches:
        count, width = batch.token_ids.shape
        assert count % multiple == 0
        assert count == multiple or count * width <= tokens
        records = np.concatenate(
            [batch.token_ids, batch.span_lengths.reshape(count, -1)], axis=1
        )
        pairs = list(taken_apart(records, row_length=width))
        assert pairs == [texts[i][0] for i in batch.indices]
        held += batch.indices
    assert sorted(held) == list(range(len(lengths)))
    shapes = {batch.token_ids.shape for batch in batches}
    assert len(shapes) == len({width for _, width in shapes})  # one shape a width


def test_rows_are_as_wide_as_their_longest_text_needs():
    (batch,) = batches_of([100, 20, 64, 60, 4], tokens=4096)
    # What is left of the narrow rows goes on in wide ones: two of 64 in one of 128.
    assert batch.token_ids.shape == (2, 128)
    assert batch.indices == [0, 1, 2, 3, 4]


def test_texts_of_like_length_leave_little_padding():
    lengths = np.random.default_rng(0).integers(4, 90, 3000).tolist()
    batches = batches_of(lengths, tokens=1024)
    positions = sum(batch.token_ids.size for batch in batches)
    assert sum(lengths) / positions > 0.97
    assert {batch.token_ids.shape for batch in batches} == {(16, 64), (8, 128)}


@pytest.mark.parametrize("count", [1, 3, 5])
def test_few_texts_make_a_small_batch(count):
    (batch,) = batches_of([60] * count, tokens=1024)
    assert batch.token_ids.shape == (1 << (count - 1).bit_length(), 64)


def test_the_pairs_of_a_text_stand_in_one_row():
    texts = [[([7] * 20, []), ([8] * 20, [])] for _ in range(3)]
    batches = list(row_batches(texts, SPECIAL, tokens=64))
    for batch in batches:
        assert batch.span_lengths.shape == (1, 16, 2)
        assert batch.span_lengths[0, :2, 0].tolist() == [22, 22]
    assert [batch.indices for batch in batches] == [[0], [1], [2]]
