"""What is dropped: how much of it, by what, and that nothing goes with anything.

All is a function of literal seeds, so nothing here fails by chance; thresholds are
those that chance would pass in all but one of a million cases.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax.model.kernels.dropout import derived, drop, drops, kept, row_seeds

ROWS, LENGTH, WIDTH = 24, 64, 96
SIGMAS = 5  # one of 1.7 million, of a normal distribution


def seeds_of(rows=ROWS, *, key=0, step=0):
    ids = np.stack([np.zeros(rows), np.zeros(rows), np.arange(rows)], 1)
    base = jax.random.fold_in(jax.random.key(key), step)
    return row_seeds(base, ids.astype(np.uint32))


def gone(seeds, shape=(LENGTH, WIDTH), rate=0.1):
    return ~np.asarray(kept(seeds, (len(seeds), *shape), rate))


def correlation(mask, other):
    """In standard deviations of what independent bits have."""
    mask, other = (x.ravel() - x.mean() for x in (mask, other))
    return (mask * other).mean() / (mask.std() * other.std()) * np.sqrt(mask.size)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_is_the_rate_and_the_mean_stays(rate):
    ones = np.ones((ROWS, LENGTH, WIDTH), np.float32)
    dropped = np.asarray(drop(ones, seeds_of(), rate))
    spread = (rate * (1 - rate) / ones.size) ** 0.5
    assert abs((dropped == 0).mean() - rate) < SIGMAS * spread
    np.testing.assert_allclose(dropped[dropped > 0], 1 / (1 - rate), rtol=1e-4)


def test_every_row_token_and_feature_is_dropped_at_the_rate():
    """Chi-square over each axis, which normal distributions approach."""
    rate, mask = 0.1, gone(seeds_of(64), (128, 128))
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        count = mask.size // mask.shape[axis]
        expected, variance = rate * count, rate * (1 - rate) * count
        squares = ((mask.sum(others) - expected) ** 2 / variance).sum()
        degrees = mask.shape[axis]
        assert abs(squares - degrees) < SIGMAS * np.sqrt(2 * degrees)


@pytest.mark.parametrize("shift", [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (2, 0)])
def test_neighbors_are_independent(shift):
    mask = gone(seeds_of())
    tokens, features = shift
    shifted = mask[:, tokens:, features:]
    other = mask[:, : LENGTH - tokens, : WIDTH - features]
    assert abs(correlation(shifted, other)) < SIGMAS


def test_rows_layers_dropouts_steps_and_keys_are_independent():
    rows = seeds_of()
    layers = [derived(rows, layer) for layer in range(1, 4)]
    parts = [derived(layers[0], part) for part in range(3)]
    steps = [seeds_of(step=step) for step in (1, 2)]
    many = [gone(seeds) for seeds in (rows, *layers, *parts, *steps, seeds_of(key=1))]
    for place, mask in enumerate(many):
        assert abs(correlation(mask[1:], mask[:-1])) < SIGMAS
        for other in many[:place]:
            assert abs(correlation(mask, other)) < SIGMAS


def test_heads_are_independent():
    mask = gone(seeds_of(), (4, LENGTH, LENGTH))
    for head in range(4):
        for other in range(head):
            assert abs(correlation(mask[:, head], mask[:, other])) < SIGMAS
            turned = mask[:, other].swapaxes(1, 2)
            assert abs(correlation(mask[:, head], turned)) < SIGMAS


def test_no_pattern_over_rows_tokens_or_features():
    """No frequency is stronger than the greatest of as many of white noise."""
    rate, mask = 0.1, gone(seeds_of(64), (64, 64))
    for seeds_last in (mask, mask.transpose(1, 2, 0), mask.transpose(2, 0, 1)):
        series = seeds_last.reshape(64, -1) - rate
        power = np.abs(np.fft.rfft(series, axis=1)[:, 1:-1]) ** 2
        power /= series.shape[1] * rate * (1 - rate)  # exponential, mean 1
        assert power.max() < np.log(power.size) - np.log(1e-6)
        mean = power.mean(0)  # of 64, so within 1 +- 1/8
        assert mean.max() < 1 + 7 / 8
    whole = np.abs(np.fft.fftn(mask - rate)) ** 2 / (mask.size * rate * (1 - rate))
    assert whole.ravel()[1:].max() < np.log(whole.size) - np.log(1e-6)


def test_seeds_of_many_rows_are_all_different():
    seeds = np.asarray(seeds_of(4096))
    for word in range(2):
        assert len(np.unique(seeds[:, word])) > 4090
    assert len(np.unique(seeds, axis=0)) == 4096


def test_a_row_is_dropped_alike_whatever_stands_beside_it():
    seeds, order = seeds_of(), np.random.default_rng(0).permutation(ROWS)
    np.testing.assert_array_equal(gone(seeds)[order], gone(seeds[order]))
    np.testing.assert_array_equal(gone(seeds)[3:4], gone(seeds[3:4]))


def test_literal_decisions_stay_what_they_are():
    """Another hash would continue a run with other dropout."""
    seeds = jnp.array([[1, 2], [3, 4]], jnp.uint32)
    assert np.flatnonzero(gone(seeds, (20,), 0.25)).tolist() == [
        1,
        10,
        12,
        17,
        18,
        19,
        23,
        28,
        30,
        32,
        36,
        37,
        39,
    ]
    assert np.asarray(derived(seeds, 5)).tolist() == [
        [4197465596, 1434842290],
        [1261724143, 411694785],
    ]


def test_nothing_happens_at_rate_zero_or_without_seeds():
    x = np.ones((2, 3, 4), np.float32)
    assert drop(x, seeds_of(2), 0.0) is x
    assert drop(x, None, 0.5) is x
    assert not drops(None, 0.5) and not drops(seeds_of(2), 0.0)


def test_the_gradient_passes_where_activations_did_and_keeps_the_seeds_alone():
    x, seeds = np.ones((ROWS, LENGTH, WIDTH), np.float32), seeds_of()
    gradient, pull = jax.vjp(lambda x: drop(x, seeds, 0.25), x)
    np.testing.assert_array_equal(pull(x)[0], gradient)
    largest = max(leaf.size for leaf in jax.tree.leaves(pull))
    assert largest <= 2 * ROWS
