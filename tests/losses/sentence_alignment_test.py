import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax.losses.sentence_alignment import rank_translations, similarity
from amber_jax.reductions import AXIS, gather_batch, reduce_sum, row_offset

PAPER = {"normalize": False, "scale": 1.0, "margin": 0.0}
OPTIONS = [
    PAPER,
    {"normalize": True, "scale": 1.0, "margin": 0.0},
    {"normalize": True, "scale": 20.0, "margin": 0.0},
    {"normalize": False, "scale": 0.5, "margin": 0.3},
    {"normalize": True, "scale": 10.0, "margin": 0.3},
]
rank = jax.jit(rank_translations, static_argnames=("normalize", "scale", "margin"))


@pytest.fixture(scope="module")
def sentences():
    """Queries, candidates, and which slots hold a sentence; translations resemble."""
    rng = np.random.default_rng(0)
    src = rng.normal(size=(8, 6))
    tgt = src + rng.normal(0, 1.5, (8, 6))
    present = np.array([1, 1, 0, 1, 1, 0, 1, 1])
    return src.astype(np.float32), tgt.astype(np.float32), present.astype(np.float32)


def rank_all(src, tgt, present, options):
    return rank(
        src,
        tgt,
        np.arange(len(src)),
        query_weights=present,
        candidate_weights=present,
        **options,
    )


def reference(src, tgt, present, *, normalize, scale, margin):
    """Loops over the formula: (loss, hits) summed over the sentences present."""
    src, tgt = np.float64(src), np.float64(tgt)
    if normalize:
        src = [x / np.linalg.norm(x) if x.any() else x for x in src]
        tgt = [y / np.linalg.norm(y) if y.any() else y for y in tgt]
    candidates = np.flatnonzero(present)
    loss, hits = 0.0, 0
    for i in candidates:
        scores = {j: scale * (src[i] @ tgt[j] - margin * (i == j)) for j in candidates}
        total = sum(np.exp(score) for score in scores.values())
        loss -= np.log(np.exp(scores[i]) / total)
        hits += max(scores, key=scores.get) == i
    return loss, hits


@pytest.mark.parametrize("options", OPTIONS)
def test_loss_and_hits_agree_with_numpy(sentences, options):
    loss, hits = rank_all(*sentences, options)
    expected_loss, expected_hits = reference(*sentences, **options)
    np.testing.assert_allclose(loss.total, expected_loss, rtol=1e-5)
    assert 0 < expected_hits == hits.total
    assert loss.weight == hits.weight == 6


def test_the_options_are_not_all_the_same(sentences):
    losses = {float(rank_all(*sentences, options)[0].total) for options in OPTIONS}
    assert len(losses) == len(OPTIONS)


def test_two_sentences_by_hand():
    """Orthogonal unit vectors: log(1 + exp(-1)) a sentence."""
    both = np.eye(2, dtype=np.float32)
    loss, hits = rank_all(both, both, np.ones(2, np.float32), PAPER)
    np.testing.assert_allclose(loss.total, 2 * np.log(1 + np.exp(-1)), rtol=1e-6)
    assert hits.total == 2


def test_empty_slots_neither_ask_nor_compete(sentences):
    src, tgt, present = sentences
    empty = present == 0
    src, tgt = src.copy(), tgt.copy()
    src[empty], tgt[empty] = 50.0, 50.0
    loss, hits = rank_all(src, tgt, present, PAPER)
    there = present > 0
    expected = rank_all(src[there], tgt[there], present[there], PAPER)
    np.testing.assert_allclose(loss.total, expected[0].total, rtol=1e-6)
    assert hits == expected[1]

    def total(src, tgt):
        return rank_all(src, tgt, present, PAPER)[0].total

    for gradient in jax.grad(total, argnums=(0, 1))(src, tgt):
        assert ((np.abs(gradient).sum(-1) > 0) == there).all()


def test_the_positive_may_stand_anywhere_among_the_candidates(sentences):
    src, tgt, present = sentences
    order = np.random.default_rng(1).permutation(8)
    loss, hits = rank(
        src[2:5],
        tgt[order],
        np.argsort(order)[2:5],
        query_weights=present[2:5],
        candidate_weights=present[order],
        **PAPER,
    )
    parts = [
        rank(
            src[[i]],
            tgt,
            np.array([i]),
            query_weights=present[[i]],
            candidate_weights=present,
            **PAPER,
        )
        for i in (2, 3, 4)
    ]
    np.testing.assert_allclose(loss.total, sum(x.total for x, _ in parts), rtol=1e-5)
    assert hits.total == sum(x.total for _, x in parts)


def test_similarity_is_a_scaled_dot_product_or_cosine():
    queries, candidates = np.array([[3.0, 4.0]]), np.array([[4.0, 3.0], [0.0, 2.0]])
    dot = similarity(queries, candidates, normalize=False, scale=2.0)
    cosine = similarity(queries, candidates, normalize=True, scale=1.0)
    np.testing.assert_allclose(dot, [[48, 16]])
    np.testing.assert_allclose(cosine, [[0.96, 0.8]], rtol=1e-6)


def test_cosines_do_not_depend_on_length(sentences):
    src, tgt, present = sentences
    options = {"normalize": True, "scale": 5.0, "margin": 0.1}
    plain, _ = rank_all(src, tgt, present, options)
    stretched, _ = rank_all(100 * src, 0.01 * tgt, present, options)
    np.testing.assert_allclose(stretched.total, plain.total, rtol=1e-5)


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_of_zero_vectors_are_finite(sentences, options):
    src, tgt, present = sentences
    src, tgt = src * present[:, None], tgt * present[:, None]  # as mean_pool leaves it

    def total(src, tgt):
        return rank_all(src, tgt, present, options)[0].total

    for gradient in jax.grad(total, argnums=(0, 1))(src, tgt):
        assert np.isfinite(gradient).all()
        assert (np.abs(gradient).sum(-1)[present > 0] > 0).all()


def test_a_batch_without_sentences_weighs_nothing(sentences):
    src, tgt, present = sentences
    nobody = np.zeros_like(present)
    for term in rank_all(src, tgt, nobody, PAPER):
        assert term == (0, 0)
    gradient = jax.grad(lambda x: rank_all(x, tgt, nobody, PAPER)[0].total)(src)
    assert not gradient.any()


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[4]])
def test_candidates_gathered_over_devices_are_the_global_batch(sentences, options):
    def on_device(src, tgt, present):
        return rank_translations(
            src,
            gather_batch(tgt, AXIS),
            jnp.arange(len(src)) + row_offset(len(src), AXIS),
            query_weights=present,
            candidate_weights=gather_batch(present, AXIS),
            **options,
        )

    def share(src, tgt, present):
        return on_device(src, tgt, present)[0].total

    spread = [x.reshape(4, 2, *x.shape[1:]) for x in sentences]
    mapped = functools.partial(jax.pmap, axis_name=AXIS)
    terms = mapped(lambda *args: reduce_sum(on_device(*args), AXIS))(*spread)
    gradients = mapped(jax.grad(share, argnums=(0, 1)))(*spread)
    for mine, whole in zip(terms, rank_all(*sentences, options), strict=True):
        np.testing.assert_allclose(mine.total[0], whole.total, rtol=1e-5)
        assert mine.weight[0] == whole.weight

    def total(src, tgt):
        return rank_all(src, tgt, sentences[2], options)[0].total

    expected = jax.grad(total, argnums=(0, 1))(*sentences[:2])
    for mine, whole in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(mine.reshape(8, 6), whole, rtol=1e-4, atol=1e-6)


def test_vectors_of_different_widths_are_refused(sentences):
    src, tgt, present = sentences
    with pytest.raises(AssertionError):
        rank_all(src, tgt[:, :-1], present, PAPER)
