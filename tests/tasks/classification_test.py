"""Sentence pairs as ids, and what a table of labels says of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amber_jax.tasks import classification
from amber_jax.tasks.examples import LabelledPair

IDS = {"no": 0, "yes": 1}


class Letters:
    """A tokenizer whose ids are code points."""

    def encode_batch(self, texts):
        return [[ord(letter) for letter in text] for text in texts]


def encode(*pairs, max_length):
    return classification.encode_pairs(pairs, Letters(), IDS, max_length=max_length)


def test_a_pair_keeps_its_sides_and_its_label_stands_at_cls():
    (one,) = encode(LabelledPair("ab", "c", "yes"), max_length=8)
    assert one == ([97, 98], [99], [0], [1])


def test_an_unknown_label_can_be_predicted_on():
    assert encode(LabelledPair("a", "b", "maybe"), max_length=8)[0].labels == [0]


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
    assert classification.cut_longest(first, second, room) == kept


def one_by_one(first, second, room):
    first, second = list(first), list(second)
    while len(first) + len(second) > room:
        (first if len(first) > len(second) else second).pop()
    return first, second


sides = st.lists(st.integers(), max_size=12)


@given(sides, sides, st.integers(0, 20))
def test_cutting_at_once_is_cutting_one_by_one(first, second, room):
    assert classification.cut_longest(first, second, room) == one_by_one(
        first, second, room
    )


def test_predictions_are_scored_against_the_labels_and_a_constant():
    pairs = [LabelledPair("", "", label) for label in ("yes", "no", "no", "no")]
    predicted = classification.decode_pairs([[1], [0], [1], [0]], ("no", "yes"))
    assert classification.score_pairs(pairs, predicted) == {"accuracy": 0.75}
    baseline = classification.baselines({}, pairs)["majority"]
    assert classification.score_pairs(pairs, baseline) == {"accuracy": 0.75}
