import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amber_jax.errors import UserError
from amber_jax.search.retrieval import (
    Search,
    accuracy,
    average,
    center,
    embed_pairs,
    find_translations,
)

COSINE = Search()


def reference_nearest(queries, candidates):
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    candidates = candidates / np.linalg.norm(candidates, axis=1, keepdims=True)
    return (queries @ candidates.T).argmax(1)


def test_each_sentence_is_given_its_nearest_in_both_directions():
    src = np.array([[1, 0], [0, 1], [1, 1], [3, 4]], np.float32)
    tgt = np.array([[2, 0], [1, 0], [5, 5], [3, 4]], np.float32)
    translations = find_translations(src, tgt, COSINE)
    assert translations.src_to_tgt.tolist() == [0, 3, 2, 3]
    assert translations.tgt_to_src.tolist() == [0, 0, 2, 3]
    assert accuracy(translations) == {"xx_to_en": 0.75, "en_to_xx": 0.75}


@settings(max_examples=20)
@given(st.integers(1, 200), st.sampled_from([1, 5, 64]), st.integers(0, 2**32))
def test_answers_are_those_of_three_lines_of_numpy(rows, size, seed):
    random = np.random.default_rng(seed)
    src = random.normal(size=(rows, size)).astype(np.float32)
    tgt = src + random.normal(size=(rows, size)).astype(np.float32)
    if size == 1:  # all cosines are exactly 1 or -1: nothing but ties
        src, tgt = np.sign(src), np.sign(tgt)
    translations = find_translations(src, tgt, COSINE)
    np.testing.assert_array_equal(translations.src_to_tgt, reference_nearest(src, tgt))
    np.testing.assert_array_equal(translations.tgt_to_src, reference_nearest(tgt, src))


def test_equal_candidates_go_to_the_lowest_row():
    # Norms of 4: every cosine is exact in float32, whatever the order of summing.
    signs = np.where(np.random.default_rng(0).random((40, 16)) < 0.5, -1.0, 1.0)
    candidates = np.concatenate([signs, signs]).astype(np.float32)
    translations = find_translations(candidates, candidates, COSINE)
    np.testing.assert_array_equal(translations.src_to_tgt, [*range(40), *range(40)])


@pytest.mark.parametrize("similarity", ["cosine", "dot", "csls", "margin"])
def test_a_collapsed_encoder_scores_chance(similarity):
    same = np.full((50, 8), 0.3, np.float32)
    translations = find_translations(same, same, Search(similarity))
    assert accuracy(translations) == {"xx_to_en": 0.02, "en_to_xx": 0.02}


def test_zero_vectors_find_nothing_but_row_zero():
    vectors = np.eye(4, dtype=np.float32)
    queries = vectors.copy()
    queries[[0, 2]] = 0
    translations = find_translations(queries, vectors, COSINE)
    assert translations.src_to_tgt.tolist() == [0, 1, 0, 3]


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e30])
def test_length_never_matters(scale):
    random = np.random.default_rng(1)
    src, tgt = random.normal(size=(2, 30, 8)).astype(np.float32)
    scales = np.float32(scale) * random.uniform(0.5, 2, (30, 1)).astype(np.float32)
    scaled, plain = (
        find_translations(queries, tgt, COSINE) for queries in (src * scales, src)
    )
    np.testing.assert_array_equal(scaled, plain)


@pytest.mark.parametrize(
    ("src_shape", "tgt_shape"),
    [((3, 4), (2, 4)), ((3, 4), (3, 5)), ((0, 4), (0, 4)), ((3,), (3,))],
)
def test_shapes_that_do_not_fit_are_refused_with_both(src_shape, tgt_shape):
    with pytest.raises(UserError) as caught:
        find_translations(np.ones(src_shape), np.ones(tgt_shape), COSINE)
    assert str(list(src_shape)) in str(caught.value)
    assert str(list(tgt_shape)) in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_vectors_are_refused_instead_of_scored(bad):
    vectors = np.ones((3, 4), np.float32)
    broken = vectors.copy()
    broken[1, 1] = bad
    with pytest.raises(UserError, match="NaN"):
        find_translations(vectors, broken, COSINE)


def test_centering_removes_what_all_vectors_share():
    random = np.random.default_rng(2)
    vectors = random.normal(size=(40, 8)).astype(np.float32)
    centered = center(vectors + 100)
    assert centered.dtype == np.float32
    np.testing.assert_allclose(centered.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(centered, center(vectors), atol=1e-4)


def test_centering_brings_a_narrow_cone_apart():
    random = np.random.default_rng(3)
    src = random.normal(size=(40, 8)).astype(np.float32)
    tgt = src + 0.1 * random.normal(size=(40, 8)).astype(np.float32)
    cone = np.float32([0, 1e4] * 4)
    shares = [
        average({"xx": accuracy(find_translations(src + cone, tgt + cone, search))})
        for search in (COSINE, Search(centered=True))
    ]
    assert shares[0]["both"] < 0.8 < shares[1]["both"]


def test_the_average_is_over_languages_and_then_directions():
    scores = {
        "de": {"xx_to_en": 0.5, "en_to_xx": 0.25},
        "fr": {"xx_to_en": 1.0, "en_to_xx": 0.75},
    }
    assert average(scores) == {"xx_to_en": 0.75, "en_to_xx": 0.5, "both": 0.625}


def test_a_sentence_of_many_languages_is_embedded_once():
    calls = []

    def embed(sentences):
        calls.append(list(sentences))
        return np.array([[float(len(sentence))] for sentence in sentences])

    pairs = {"de": (["eins", "drei"], ["one", "three"]), "fr": (["un"], ["one"])}
    embedded = {
        language: (src.ravel().tolist(), tgt.ravel().tolist())
        for language, src, tgt in embed_pairs(pairs, embed)
    }
    assert calls == [["eins", "drei", "one", "three", "un"]]
    assert embedded == {"de": ([4, 4], [3, 5]), "fr": ([2], [3])}
