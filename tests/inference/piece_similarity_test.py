"""How two pieces are compared; tests/data/word_links.jsonl holds other tools' links.

They are SimAlign 0.4's and awesome-align 0.1.7's on random vectors that are whole
quarters: tests_long/live/aligners_test.py asks the tools themselves once more.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from amber_jax.inference.alignment import Directions
from amber_jax.inference.piece_similarity import Similarity, similarities
from amber_jax.inference.word_links import word_links

GOLDEN = Path(__file__).parents[1] / "data" / "word_links.jsonl"
ROWS = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()]
WAYS = {
    "simalign inter": ("cosine", "intersection", 0.0),
    "simalign itermax": ("cosine", "itermax", 0.0),
    "awesome-align 0.001": ("dot", "intersection", 0.001),
    "awesome-align 0.1": ("dot", "intersection", 0.1),
}
HOW = [
    Similarity(measure, center, context)
    for measure in ("dot", "cosine")
    for center in (False, True)
    for context in (0.0, 0.3)
]


def blocks(src, tgt, how):
    """The similarities [X, Y] and [Y, X] of two sides with special tokens in a row."""
    special = np.full((1, src.shape[1]), 7.0)
    row = np.concatenate([special, src, special, special, tgt, special, special])
    x, y = len(src), len(tgt)
    side_ids = np.array([1] * (x + 2) + [2] * (y + 2) + [0])
    products = np.asarray(similarities(row[None], side_ids[None], how)[0])
    at_src, at_tgt = slice(1, 1 + x), slice(x + 3, x + 3 + y)
    return products[at_src, at_tgt], products[at_tgt, at_src]


def written_out(src, tgt, how):
    """The same, piece by piece."""
    if how.center:
        src, tgt = src - src.mean(0), tgt - tgt.mean(0)
    if how.measure == "cosine":
        src, tgt = (side / np.linalg.norm(side, axis=1)[:, None] for side in (src, tgt))
    plain = src @ tgt.T
    result = plain.copy()
    for i, j in np.ndindex(plain.shape):
        for y, x in ((i - 1, j - 1), (i - 1, j + 1), (i + 1, j - 1), (i + 1, j + 1)):
            if 0 <= y < plain.shape[0] and 0 <= x < plain.shape[1]:
                result[i, j] += how.context * plain[y, x]
    return result


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("sizes", [(5, 3), (1, 4), (2, 2)])
def test_sides_are_compared_without_their_special_tokens(how, sizes):
    rng = np.random.default_rng(sum(sizes))
    src, tgt = (rng.normal(size=(count, 6)) for count in sizes)
    if how.center and min(sizes) == 1:  # a lone piece is its own mean: no direction
        how = how._replace(measure="dot")
    forward, backward = blocks(src, tgt, how)
    expected = written_out(src, tgt, how)
    np.testing.assert_allclose(forward, expected, atol=1e-5)
    np.testing.assert_allclose(backward, expected.T, atol=1e-5)


def test_a_side_of_one_centered_piece_is_like_nothing():
    forward, _ = blocks(np.ones((1, 3)), np.eye(3), Similarity("cosine", center=True))
    assert (forward == 0).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", ROWS)
def test_links_are_those_of_the_tools_on_the_same_vectors(way, row):
    measure, symmetrization, threshold = WAYS[way]
    how = Similarity(measure)
    products = blocks(*(np.asarray(row[side]) for side in ("src", "tgt")), how)
    links = word_links(
        Directions(*map(how.choices, products)),
        row["src_words"],
        row["tgt_words"],
        symmetrization=symmetrization,
        threshold=threshold,
        level="piece",
    )
    assert links == set(map(tuple, row[way]))
