"""Labeled examples in packed rows: nothing lost, nothing mixed, any step reachable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amber_jax.data.labeled import (
    Labeled,
    RowShape,
    cut_longest,
    packed,
    prediction_batches,
    steps_per_epoch,
    training_batches,
)
from amber_jax.tokenization import SpecialTokens

SPECIAL = SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)
SHAPE = RowShape(row_length=16, num_slots=16, special=SPECIAL)


def tagged(*ids):
    """A lone sentence in which every token has its own id as its label."""
    return Labeled(list(ids), [], list(range(1, len(ids) + 1)), list(ids))


examples_of = st.lists(
    st.lists(st.integers(5, 99), max_size=14).map(lambda ids: tagged(*ids)),
    min_size=1,
    max_size=30,
)


def test_a_row_holds_examples_slots_and_labels_one_after_the_other():
    pair = Labeled([7, 8], [9], [0], [1])
    rows, order = packed([tagged(5, 6), pair], SHAPE, multiple=1)
    #                                     [CLS] 7 8 [SEP] 9 [SEP] [CLS] 5 6 [SEP]
    assert rows["token_ids"][0].tolist() == [2, 7, 8, 3, 9, 3, 2, 5, 6, 3] + [0] * 6
    assert rows["span_lengths"][0, :3].tolist() == [[4, 2], [4, 0], [0, 0]]
    assert rows["slots"][0, :3].tolist() == [0, 7, 8]
    assert rows["labels"][0, :3].tolist() == [1, 5, 6]
    assert rows["label_weights"][0].tolist() == [1.0] * 3 + [0.0] * 13
    assert order == [1, 0]


@settings(max_examples=50)
@given(examples=examples_of, multiple=st.integers(1, 5))
def test_every_slot_points_at_the_token_that_its_label_is_of(examples, multiple):
    rows, order = packed(examples, SHAPE, multiple=multiple)
    assert len(rows["token_ids"]) % multiple == 0
    real = rows["label_weights"] > 0
    pointed = np.take_along_axis(rows["token_ids"], rows["slots"], axis=1)
    assert (pointed[real] == rows["labels"][real]).all()
    wanted = [label for number in order for label in examples[number].labels]
    assert rows["labels"][real].tolist() == wanted
    assert sorted(order) == list(range(len(examples)))


@settings(max_examples=30)
@given(examples=examples_of, rows_per_batch=st.integers(1, 4))
def test_prediction_sees_every_example_once_in_batches_of_one_shape(
    examples, rows_per_batch
):
    seen = []
    for rows, numbers in prediction_batches(
        examples, SHAPE, rows_per_batch=rows_per_batch
    ):
        assert rows["token_ids"].shape == (rows_per_batch, SHAPE.row_length)
        labels = rows["labels"][rows["label_weights"] > 0].tolist()
        assert labels == [label for n in numbers for label in examples[n].labels]
        seen += numbers
    assert sorted(seen) == list(range(len(examples)))


def batches_of(count=10, *, start=0, stop=8, seed=1):
    examples = [tagged(5 + n, 5 + n) for n in range(count)]
    return [
        batch["labeled"]
        for batch in training_batches(
            examples,
            SHAPE,
            batch_size=4,
            seed=seed,
            start=start,
            stop=stop,
            multiple=2,
        )
    ]


def shown(batch):
    return sorted(set(batch["labels"][batch["label_weights"] > 0].tolist()))


def test_an_epoch_shows_every_example_once_and_the_next_in_another_order():
    assert steps_per_epoch(10, 4) == 3
    shown_by_step = [shown(batch) for batch in batches_of(stop=6)]
    first, second = shown_by_step[:3], shown_by_step[3:]
    assert [len(numbers) for numbers in first] == [4, 4, 2]
    assert sorted(sum(first, [])) == sorted(sum(second, [])) == list(range(5, 15))
    assert first != second
    assert first != [shown(batch) for batch in batches_of(stop=3, seed=2)]


@pytest.mark.parametrize("start", [0, 2, 5])
def test_batches_from_any_step_are_those_of_the_whole_run(start):
    whole, late = batches_of(), batches_of(start=start)
    for batch, other in zip(whole[start:], late, strict=True):
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


@pytest.mark.parametrize(
    ("first", "second", "room", "kept"),
    [
        ([1, 2, 3, 4], [5, 6], 6, ([1, 2, 3, 4], [5, 6])),
        ([1, 2, 3, 4], [5, 6], 4, ([1, 2], [5, 6])),
        ([1, 2, 3, 4], [5, 6], 3, ([1, 2], [5])),
        ([1, 2], [3, 4, 5, 6], 4, ([1, 2], [3, 4])),
        ([1, 2, 3], [4, 5, 6], 3, ([1, 2], [4])),
        ([], [1, 2], 1, ([], [1])),
    ],
)
def test_the_longer_side_is_cut_first(first, second, room, kept):
    assert cut_longest(first, second, room) == kept


def one_by_one(first, second, room):
    first, second = list(first), list(second)
    while len(first) + len(second) > room:
        (first if len(first) > len(second) else second).pop()
    return first, second


sides = st.lists(st.integers(), max_size=12)


@given(sides, sides, st.integers(0, 20))
def test_cutting_at_once_is_cutting_one_by_one(first, second, room):
    assert cut_longest(first, second, room) == one_by_one(first, second, room)
