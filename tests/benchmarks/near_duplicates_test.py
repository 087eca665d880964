"""Copies that share nearly all, half and nothing with a line before."""

import random

import pytest

from benchmarks.near_duplicates import left_out, resemblance


def test_what_two_texts_share():
    assert resemblance("abcdef", "abcdex") == pytest.approx(1 / 3)
    assert resemblance("Abcdef", "aBCDEF") == 1


def test_lines_that_are_left_out_are_numbered_over_all_units(tmp_path):
    draw = random.Random(0)
    lines = ["".join(draw.choices("abcdefgh ", k=200)) for _ in range(60)]
    copies = [f"{line[:100]}x{line[101:]}" for line in lines[:30]]
    halves = [line[:100] + line[:100][::-1] for line in lines[30:]]
    assert left_out([*lines, *copies, *halves], 0.8, tmp_path) == {*range(60, 90)}
