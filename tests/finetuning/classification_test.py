"""Sentence pairs as ids."""

from amber_jax.datasets.examples import LabelledPair
from amber_jax.finetuning import classification

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
