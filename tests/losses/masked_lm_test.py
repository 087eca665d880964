import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax.losses.masked_lm import cross_entropy, masked_lm, masked_lm_hits


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


def test_masked_lm_agrees_with_numpy(slots):
    logits, targets, weights = slots
    expected = 0.0
    for row, slot in zip(*np.nonzero(weights), strict=True):
        scores = np.float64(logits[row, slot])
        shares = np.exp(scores) / np.exp(scores).sum()
        expected -= np.log(shares[targets[row, slot]])
    loss = masked_lm(logits, targets, weights)
    np.testing.assert_allclose(loss.total, expected, rtol=1e-5)
    assert loss.weight == 3


def test_hits_are_the_slots_whose_likeliest_word_is_right(slots):
    logits, targets, weights = slots
    likeliest = logits.argmax(-1)
    right = np.where([[1, 0, 1], [1, 0, 0]], likeliest, (likeliest + 1) % 5)
    hits = masked_lm_hits(logits, right, weights)
    assert (hits.total, hits.weight) == (2, 3)


def test_filler_slots_have_no_say(slots):
    logits, targets, weights = slots
    changed = np.where(weights[..., None] > 0, logits, 99.0)
    other_targets = np.where(weights > 0, targets, 0)
    for function in (masked_lm, masked_lm_hits):
        assert function(logits, targets, weights) == function(
            changed, other_targets, weights
        )
    gradient = jax.grad(lambda x: masked_lm(x, targets, weights).total)(logits)
    assert ((np.abs(gradient).sum(-1) > 0) == (weights > 0)).all()


def test_a_batch_without_predictions_weighs_nothing(slots):
    logits, targets, weights = slots
    loss = masked_lm(logits, targets, np.zeros_like(weights))
    assert loss == (0, 0)
