"""Which ends count, and which cells are sentences."""

import pytest

from benchmarks.sentence_splitting import ends, is_sentence


def test_ends_are_counted_without_spaces_and_the_last_is_none():
    assert ends(["A b.", "C", "d e f."]) == {3, 4}
    assert ends(["A b."]) == ends([]) == set()


@pytest.mark.parametrize(
    ("cell", "is_one"),
    [
        ("Mr. A. Smith came at 3 p.m. today.", True),
        ("He said: “Come!”", True),
        ("A headline without a point", False),
        ("He came today. She left.", False),
        ("他来了。", True),
        ("他来了。她走了。", False),
        ("", False),
    ],
)
def test_a_sentence_has_its_mark_at_the_end_and_none_inside(cell, is_one):
    assert is_sentence(cell) == is_one
