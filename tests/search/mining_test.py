"""Translations among vectors, against the whole matrix of scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_mining import mined_pairs

from amber_jax.search.mining import MARGINS, mutual_best


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize(("sizes", "neighbors"), [((1, 5), 4), ((90, 40), 3)])
@settings(max_examples=10)
@given(seed=st.integers(0, 2**16))
def test_pairs_are_those_of_the_whole_matrix(margin, sizes, neighbors, seed):
    random = np.random.default_rng(seed)
    src, tgt = (random.random((size, 8), np.float32) for size in sizes)
    for threshold in (None, 0.9):
        wanted = mined_pairs(src, tgt, margin, neighbors, threshold)
        pairs = mutual_best(
            src, tgt, margin=margin, neighbors=neighbors, threshold=threshold
        )
        assert pairs.src.tolist() == [i for _, i, _ in wanted]
        assert pairs.tgt.tolist() == [j for _, _, j in wanted]
        scores = [score for score, _, _ in wanted]
        np.testing.assert_allclose(pairs.scores, scores, rtol=1e-4, atol=1e-5)


def test_planted_translations_are_found_among_sentences_without_one():
    random = np.random.default_rng(0)
    src = random.normal(size=(500, 32)).astype(np.float32)
    tgt = random.normal(size=(700, 32)).astype(np.float32)
    planted = random.choice(700, 400, replace=False)
    tgt[planted] = src[:400] + random.normal(0, 0.2, (400, 32))
    pairs = mutual_best(src, tgt, margin="ratio", neighbors=4, threshold=1.4)
    order = np.argsort(pairs.src)
    np.testing.assert_array_equal(pairs.src[order], np.arange(400))
    np.testing.assert_array_equal(pairs.tgt[order], planted)


def test_every_sentence_is_in_one_pair_even_if_vectors_are_equal():
    same = np.ones((5, 3), np.float32)
    pairs = mutual_best(same, same[:3], margin="ratio", neighbors=4, threshold=None)
    assert (pairs.src.tolist(), pairs.tgt.tolist()) == ([0], [0])
