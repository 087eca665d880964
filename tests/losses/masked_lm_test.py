import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax.losses.masked_lm import cross_entropy, masked_lm, num_parts


@pytest.fixture(scope="module")
def slots():
    """Logits, targets and weights of 2 x 3 slots over 5 words."""
    rng = np.random.default_rng(0)
    return (
        rng.normal(0, 3, (2, 3, 5)).astype(np.float32),
        np.array([[0, 4, 2], [1, 3, 0]]),
        np.array([[1, 1, 0], [1, 0, 0]], np.float32),
    )


def test_cross_entropy_of_literal_logits():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]))
    losses = cross_entropy(logits, np.array([0, 1]))
    np.testing.assert_allclose(losses, [math.log(2), math.log(5)], rtol=1e-6)


def test_cross_entropy_does_not_depend_on_the_level_of_the_logits(slots):
    logits, labels, _ = slots
    plain = cross_entropy(logits, labels)
    np.testing.assert_allclose(cross_entropy(logits + 1000, labels), plain, rtol=1e-3)
    assert np.isfinite(cross_entropy(logits * 1e4, labels)).all()


def test_cross_entropy_takes_bfloat16_logits_as_they_are(slots):
    logits, labels, _ = slots
    rough = jnp.asarray(logits, jnp.bfloat16)
    losses = cross_entropy(rough, labels)
    assert losses.dtype == np.float32
    np.testing.assert_array_equal(
        losses, cross_entropy(rough.astype(jnp.float32), labels)
    )


def of_logits(logits, targets, weights, **options):
    """The loss and hits of words that stand apart: features are the logits."""
    words = np.eye(logits.shape[-1], dtype=np.float32)
    return masked_lm(
        logits, words, np.zeros(len(words), np.float32), targets, weights, **options
    )


@pytest.fixture(scope="module")
def head():
    """Features, words, bias, targets and weights of 6 x 4 slots over 37 words."""
    rng = np.random.default_rng(1)
    return (
        rng.normal(size=(6, 4, 8)).astype(np.float32),
        rng.normal(size=(37, 8)).astype(np.float32),
        rng.normal(size=37).astype(np.float32),
        rng.integers(0, 37, (6, 4)),
        (rng.random((6, 4)) < 0.7).astype(np.float32),
    )


def test_masked_lm_agrees_with_numpy(slots):
    logits, targets, weights = slots
    expected = 0.0
    for row, slot in zip(*np.nonzero(weights), strict=True):
        scores = np.float64(logits[row, slot])
        shares = np.exp(scores) / np.exp(scores).sum()
        expected -= np.log(shares[targets[row, slot]])
    loss, _ = of_logits(logits, targets, weights)
    np.testing.assert_allclose(loss.total, expected, rtol=1e-5)
    assert loss.weight == 3


def test_hits_are_the_slots_whose_likeliest_word_is_right(slots):
    logits, _, weights = slots
    likeliest = logits.argmax(-1)
    right = np.where([[1, 0, 1], [1, 0, 0]], likeliest, (likeliest + 1) % 5)
    _, hits = of_logits(logits, right, weights)
    assert (hits.total, hits.weight) == (2, 3)


def test_filler_slots_have_no_say(slots):
    logits, targets, weights = slots
    changed = np.where(weights[..., None] > 0, logits, 99.0)
    other_targets = np.where(weights > 0, targets, 0)
    assert of_logits(logits, targets, weights) == of_logits(
        changed, other_targets, weights
    )
    gradient = jax.grad(lambda x: of_logits(x, targets, weights)[0].total)(logits)
    assert ((np.abs(gradient).sum(-1) > 0) == (weights > 0)).all()


def test_a_batch_without_predictions_weighs_nothing(slots):
    logits, targets, weights = slots
    loss, hits = of_logits(logits, targets, np.zeros_like(weights))
    assert loss == hits == (0, 0)


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
def test_the_gradient_is_that_of_plain_cross_entropy(head, parts):
    *learned, targets, weights = head

    def plain(features, words, bias):
        losses = cross_entropy(features @ words.T + bias[None, None], targets)
        return 2.5 * (losses * weights).sum()

    def ours(features, words, bias):
        options = {"parts": parts}
        loss, _ = masked_lm(features, words, bias, targets, weights, **options)
        return 2.5 * loss.total

    for function in (ours, jax.jit(ours)):
        total, gradient = jax.value_and_grad(function, argnums=(0, 1, 2))(*learned)
        value, expected = jax.value_and_grad(plain, argnums=(0, 1, 2))(*learned)
        np.testing.assert_allclose(total, value, rtol=1e-5)
        for leaf, other in zip(gradient, expected, strict=True):
            np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("parts", [1, 3])
def test_without_a_gradient_the_sums_are_the_same(head, parts):
    whole = masked_lm(*head)
    cut = masked_lm(*head, parts=parts)
    np.testing.assert_allclose(cut, whole, rtol=1e-6)
    (loss, _), _ = jax.vjp(lambda x: masked_lm(x, *head[1:], parts=parts), head[0])
    np.testing.assert_allclose(loss, whole[0], rtol=1e-6)


def test_bfloat16_features_meet_bfloat16_words_and_no_made_up_ones(head):
    features, words, *rest = head
    narrow = jnp.asarray(features, jnp.bfloat16)
    rounded = jnp.asarray(words, jnp.bfloat16).astype(jnp.float32)
    expected = masked_lm(narrow.astype(jnp.float32), rounded, *rest)
    np.testing.assert_allclose(masked_lm(narrow, words, *rest), expected, rtol=1e-5)
    low = np.full(37, -30, np.float32)  # made-up words would be preferred to these
    shifted = masked_lm(narrow, words, rest[0] + low, *rest[1:])
    np.testing.assert_allclose(shifted, expected, rtol=1e-4)

    def mean(features, words, dtype):
        return masked_lm(features.astype(dtype), words, *rest)[0].total / 1234

    gradient, exact = (
        jax.grad(mean, (0, 1))(narrow, words, dtype)
        for dtype in (jnp.bfloat16, jnp.float32)
    )
    bias = gradient[0].astype(jnp.float32).sum() / exact[0].astype(jnp.float32).sum()
    assert abs(bias - 1) < 1e-2
    assert [leaf.dtype for leaf in gradient] == [jnp.bfloat16, jnp.float32]
    assert gradient[1].shape == words.shape


def test_logits_that_fit_are_made_at_once_and_others_in_equal_parts():
    assert num_parts(16, 20, 32_000) == 1
    # 39 slots of 119,547 words are 18.6 MB a row, so 57 rows fit into a GiB.
    assert num_parts(57, 39, 119_547) == 1
    assert num_parts(64, 39, 119_547) == 2
    assert num_parts(1024, 39, 119_547) == 32
    assert num_parts(3, 4096, 119_547) == 3
