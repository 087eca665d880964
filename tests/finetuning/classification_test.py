"""Sentence pairs as ids."""

import dataclasses

from amber_jax.datasets.examples import LabeledPair
from amber_jax.finetuning import classification
from amber_jax.tokenization import SpecialTokens

IDS = {"no": 0, "yes": 1}


class Letters:
    """A tokenizer whose ids are code points."""

    special = SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)

    def encode_batch(self, texts):
        return [[ord(letter) for letter in text] for text in texts]


class DoubledLetters(Letters):
    """With two separators between the sides."""

    special = dataclasses.replace(Letters.special, separators=2)


def encode(*pairs, max_length, tokenizer=Letters):
    return classification.encode_pairs(pairs, tokenizer(), IDS, max_length=max_length)


def test_two_separators_take_a_place_more():
    pair = LabeledPair("abcdef", "ghijkl", "no")
    for tokenizer, room in ((Letters, 7), (DoubledLetters, 6)):
        (example,) = encode(pair, max_length=10, tokenizer=tokenizer)
        assert len(example.src_ids) + len(example.tgt_ids) == room


def test_a_pair_keeps_its_sides_and_its_label_stands_at_cls():
    (example,) = encode(LabeledPair("ab", "c", "yes"), max_length=8)
    assert example == ([97, 98], [99], [0], [1])


def test_an_unknown_label_can_be_predicted_on():
    assert encode(LabeledPair("a", "b", "maybe"), max_length=8)[0].labels == [0]
