import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amber_jax.errors import UserError
from amber_jax.tasks.retrieval import centre, retrieval_accuracy, retrieval_hits


def reference_hits(queries, candidates):
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    candidates = candidates / np.linalg.norm(candidates, axis=1, keepdims=True)
    return (queries @ candidates.T).argmax(1) == np.arange(len(queries))


def test_each_row_is_a_hit_where_its_own_candidate_is_nearest():
    queries = np.array([[1, 0], [0, 1], [1, 1], [3, 4]], np.float32)
    candidates = np.array([[2, 0], [1, 0], [5, 5], [3, 4]], np.float32)
    #                       own    of row 0  own     own; of row 1 as well
    assert retrieval_hits(queries, candidates).tolist() == [True, False, True, True]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 200), st.integers(1, 64), st.integers(1, 70), st.integers(0, 2**32)
)
def test_any_block_size_agrees_with_three_lines_of_numpy(rows, size, block_size, seed):
    random = np.random.default_rng(seed)
    src = random.normal(size=(rows, size)).astype(np.float32)
    tgt = src + random.normal(size=(rows, size)).astype(np.float32)
    if size == 1:  # all cosines are exactly 1 or -1: nothing but ties
        src, tgt = np.sign(src), np.sign(tgt)
    expected = reference_hits(src, tgt)
    hits = retrieval_hits(src, tgt, block_size=block_size)
    np.testing.assert_array_equal(hits, expected)
    accuracy = retrieval_accuracy(src, tgt, block_size=block_size)
    assert accuracy == {
        "src_to_tgt": expected.mean(),
        "tgt_to_src": reference_hits(tgt, src).mean(),
    }


def test_equal_candidates_go_to_the_lowest_row():
    # Norms of 4: every cosine is exact in float32, whatever the order of summing.
    signs = np.where(np.random.default_rng(0).random((40, 16)) < 0.5, -1.0, 1.0)
    candidates = np.concatenate([signs, signs]).astype(np.float32)
    hits = retrieval_hits(candidates, candidates, block_size=7)
    np.testing.assert_array_equal(hits, reference_hits(candidates, candidates))
    assert hits[:40].all() and not hits[40:].any()


def test_a_collapsed_encoder_scores_chance():
    same = np.ones((50, 8), np.float32)
    assert retrieval_accuracy(same, same) == {"src_to_tgt": 0.02, "tgt_to_src": 0.02}


def test_zero_vectors_find_nothing_but_row_zero_and_are_never_nan():
    vectors = np.eye(4, dtype=np.float32)
    queries = vectors.copy()
    queries[[0, 2]] = 0
    with np.errstate(all="raise"):
        hits = retrieval_hits(queries, vectors)
    assert hits.tolist() == [True, True, False, True]


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e30])
def test_length_never_matters(scale):
    random = np.random.default_rng(1)
    src, tgt = random.normal(size=(2, 30, 8)).astype(np.float32)
    scales = np.float32(scale) * random.uniform(0.5, 2, (30, 1)).astype(np.float32)
    hits = retrieval_hits(src * scales, tgt)
    np.testing.assert_array_equal(hits, retrieval_hits(src, tgt))


@pytest.mark.parametrize(
    ("src_shape", "tgt_shape"),
    [((3, 4), (2, 4)), ((3, 4), (3, 5)), ((0, 4), (0, 4)), ((3,), (3,))],
)
def test_shapes_that_do_not_fit_are_refused_with_both(src_shape, tgt_shape):
    with pytest.raises(UserError) as caught:
        retrieval_accuracy(np.ones(src_shape), np.ones(tgt_shape))
    assert str(list(src_shape)) in str(caught.value)
    assert str(list(tgt_shape)) in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_vectors_are_refused_instead_of_scored(bad):
    vectors = np.ones((3, 4), np.float32)
    broken = vectors.copy()
    broken[1, 1] = bad
    with pytest.raises(UserError, match="NaN"):
        retrieval_accuracy(vectors, broken)


def test_centring_removes_what_all_vectors_share():
    random = np.random.default_rng(2)
    vectors = random.normal(size=(40, 8)).astype(np.float32)
    centred = centre(vectors + 100)
    assert centred.dtype == np.float32
    np.testing.assert_allclose(centred.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(centred, centre(vectors), atol=1e-4)
