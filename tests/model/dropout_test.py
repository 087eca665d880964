import jax
import numpy as np
import pytest

from amber_jax.model.dropout import Dropout

ONES = np.ones((3, 400, 501), np.float32)


def drop(rate, *, x=ONES, seed=0, train=True):
    key = jax.random.key(seed)
    return np.asarray(Dropout(rate).apply({}, x, train=train, rngs={"dropout": key}))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_is_the_rate_and_the_mean_stays(rate):
    dropped = drop(rate)
    spread = (rate * (1 - rate) / ONES.size) ** 0.5
    assert abs((dropped == 0).mean() - rate) < 5 * spread
    kept = dropped[dropped > 0]
    np.testing.assert_allclose(kept, 1 / (1 - rate), rtol=1e-4)


def test_neighbours_that_share_a_random_word_are_dropped_independently():
    gone = drop(0.3)[..., :500].reshape(-1, 2) == 0
    both = gone.all(-1).mean()
    assert abs(both - 0.09) < 5 * (0.09 * 0.91 / len(gone)) ** 0.5


def test_nothing_happens_at_rate_zero_or_outside_training():
    assert (drop(0.0) == 1).all()
    assert (drop(0.5, train=False) == 1).all()


def test_the_key_decides():
    assert (drop(0.5) == drop(0.5)).all()
    assert (drop(0.5) != drop(0.5, seed=1)).mean() > 0.4


def test_the_gradient_passes_where_activations_did():
    key = {"dropout": jax.random.key(0)}

    def total(x):
        return Dropout(0.25).apply({}, x, train=True, rngs=key).sum()

    gradient = jax.grad(total)(ONES)
    np.testing.assert_array_equal(gradient, drop(0.25))
