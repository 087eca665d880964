"""Sides that say the same in the same words."""

import pytest

from amber_jax.corpora.cleaning.sides import are_copied

SIDES = [
    # source                     target                       share
    ("See www.example.org",      "Siehe www.example.org",     13 / 15),
    ("Press Enter to go on.",    "PRESS ENTER TO GO ON!",     16 / 17),
    ("Yes.",                     "yes.",                      1.0),
    ("The cat sat on the mat.",  "Le chat était assis.",      0.0),
    ("ab",                       "Label",                     0.0),
]  # fmt: skip


@pytest.mark.parametrize(("src", "tgt", "share"), SIDES)
def test_the_share_of_the_shorter_side_that_is_in_the_other(src, tgt, share):
    for pair in ((src, tgt), (tgt, src)):
        assert not are_copied(*pair, share)
        assert are_copied(*pair, share - 1e-9)
