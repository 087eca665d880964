"""Lines that hold part of an evaluation sentence."""

import numpy as np
import pytest

from amber_jax.corpora.cleaning.overlap import Overlap, sequence_hashes, words_of

WORDS = [
    # text                words                            characters
    ("A b, c d.",         "a b c d",                       False),
    ("“A—b”  C_d!",       "ab cd",                         False),
    ("ＡＢ straße",        "ab strasse",                    False),
    ("",                  "",                              False),
    ("我们，今天",         "我 们 今 天",                    True),
    ("ไปไหน",             "ไ ป ไ ห น",                     True),
    ("In 中国 they",       "in 中 国 they",                 False),
    # Vowel signs are marks, and left out: हिन्दी.
    ("हिन्दी में लिखा",        "हनद म लख",                       False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words", "are_characters"), WORDS)
def test_words(text, words, are_characters):
    assert words_of(text) == (words.split(), are_characters)


@pytest.mark.parametrize(
    ("text", "count", "sequences"),
    [("a b c d", 3, 2), ("a b", 3, 0), ("我们今", 2, 0), ("我们今天好", 2, 2)],
)
def test_sequences_of_characters_are_twice_as_long(text, count, sequences):
    assert len(sequence_hashes([text], count)) == sequences


def test_a_sentence_is_found_inside_a_paragraph_whatever_its_points_and_case():
    held_out = ["The cat sat on the old mat.", "Too short.", "猫坐在旧垫子上面"]
    overlap = Overlap(4, sequence_hashes(held_out, 4))
    assert overlap.is_in("They say: THE CAT, sat on a new mat.")
    assert not overlap.is_in("The cat sat there. The old mat was too short.")
    assert overlap.is_in("他们说猫坐在旧垫子上面。")
    assert not overlap.is_in("他们说猫坐在新垫子下面。")
    assert not overlap.is_in("Too short.")
    assert not Overlap(4, sequence_hashes([], 4)).is_in("The cat sat on the old mat.")


def test_hashes_are_sorted_and_different():
    hashes = sequence_hashes(["a b c a b c", "b c"], 2)
    assert hashes.dtype == np.uint64 and len(hashes) == 3
    assert (np.diff(hashes) > 0).all()
