"""Lines that hold part of an evaluation sentence."""

import numpy as np
import pytest

from amber_jax.corpora.cleaning.overlap import Overlap, sequence_hashes, word_sequences

SEQUENCES = [
    # text                      words  sequences
    ("A b, c d.",               3,     ["a b c", "b c d"]),
    ("“A—b”  C_d!",             2,     ["ab cd"]),
    ("ＡＢ straße",              2,     ["ab strasse"]),
    ("A b",                     3,     []),
    ("", 1, []),
    # Characters are the words of what has no spaces; of them it takes twice as many.
    ("我们，今天",               2,     ["我 们 今 天"]),
    ("我们今",                   2,     []),
    ("ไปไหนมา",                  3,     ["ไ ป ไ ห น ม", "ป ไ ห น ม า"]),
    ("In 中国 they say",         4,     ["in 中 国 they", "中 国 they say"]),
    # Vowel signs are marks, and left out: हिन्दी.
    ("हिन्दी में लिखा",              3,     ["हनद म लख"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words", "sequences"), SEQUENCES)
def test_sequences_of_words(text, words, sequences):
    assert word_sequences(text, words) == sequences


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
