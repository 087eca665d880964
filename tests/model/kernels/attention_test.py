"""Attention written out against a naive one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attended_rows import SEEDS, masks_of, stacked, three_of

from amber_jax.model.kernels import attention, dropout

RATE = 0.3


def naive(query, key, value, mask, seeds, rate):
    """(mixed, probabilities) by what JAX differentiates itself."""
    scores = jnp.einsum("bqhk,bshk->bhqs", query, key) / query.shape[-1] ** 0.5
    shares = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
    shares = jnp.where(mask.dense()[:, None], shares, 0)
    probs = shares / jnp.maximum(shares.sum(-1, keepdims=True), 1e-30)
    staying = probs
    if seeds is not None:
        keep = dropout.kept(seeds, probs.shape, rate)
        staying = jnp.where(keep, probs / (1 - rate), 0)
    return jnp.einsum("bhqs,bshk->bqhk", staying, value), probs


def number_of(outcome):
    """Something that depends on every entry of a pair (mixed, probabilities)."""
    mixed, probs = (x.astype(jnp.float32) for x in outcome)
    words = jnp.cos(jnp.arange(probs.shape[-1], dtype=jnp.float32))
    return jnp.sin(mixed).sum() + (jnp.sin(3 * probs) @ words).sum()


def assert_close(tree, expected, tolerance):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance),
        tree,
        expected,
    )


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("seeds", [None, SEEDS], ids=["whole", "dropped"])
@pytest.mark.parametrize(
    ("length", "heads", "width"), [(37, 2, 32), (48, 1, 64), (61, 1, 128)]
)
def test_the_written_form_and_its_gradients_are_the_naive_ones(
    length, heads, width, seeds, directed
):
    mask = masks_of(length, directed=directed)
    three = three_of(mask, heads=heads, width=width)
    rate = round(RATE * 2**16) / 2**16  # as exact as dropout is

    def written(query, key, value):
        return attention.attend_with_probs(
            stacked((query, key, value)), mask, seeds=seeds, rate=rate
        )

    def plain(query, key, value):
        return naive(query, key, value, mask, seeds, rate)

    assert_close(written(*three), plain(*three), 1e-5)
    gradient, expected = (
        jax.jit(jax.grad(lambda *x, f=f: number_of(f(*x)), argnums=(0, 1, 2)))(*three)
        for f in (written, plain)
    )
    assert_close(gradient, expected, 1e-5)
    alone = attention.attend(
        stacked(three), mask, seeds=seeds, rate=rate, form="written"
    )
    np.testing.assert_array_equal(alone, written(*three)[0])


@pytest.mark.parametrize("directed", [False, True])
def test_bfloat16_costs_its_own_rounding_and_no_more(directed):
    mask = masks_of(40, directed=directed)
    narrow = three_of(mask, heads=2, width=64, dtype=jnp.bfloat16)
    wide = narrow.astype(jnp.float32)

    def gradients(three):
        def number(*three):
            attended = attention.attend_with_probs(
                stacked(three), mask, seeds=SEEDS, rate=RATE
            )
            return number_of(attended)

        return jax.jit(jax.grad(number, argnums=(0, 1, 2)))(*three)

    for gradient, expected in zip(gradients(narrow), gradients(wide), strict=True):
        assert gradient.dtype == jnp.bfloat16
        difference = gradient.astype(jnp.float32) - expected
        # 8 bits of mantissa, in a handful of roundings.
        assert jnp.linalg.norm(difference) < 0.01 * jnp.linalg.norm(expected)


def test_nothing_of_every_two_tokens_is_kept_for_the_backward_pass():
    mask = masks_of(64, directed=True)
    three = three_of(mask, heads=4, width=8)

    def run(query, key, value):
        return attention.attend(
            stacked((query, key, value)), mask, seeds=SEEDS, rate=RATE, form="written"
        )

    _, pull = jax.vjp(run, *three)
    assert max(leaf.size for leaf in jax.tree.leaves(pull)) == three[0].size


def test_padding_attends_nothing_and_gets_zeros():
    mask = masks_of(40, directed=False)
    three = three_of(mask, heads=1, width=8)
    mixed, probs = attention.attend_with_probs(
        stacked(three), mask, seeds=None, rate=0.0
    )
    padding = np.asarray(mask.pair_ids == 0)
    assert padding.any() and (np.asarray(mixed)[padding] == 0).all()
    assert (np.asarray(probs).swapaxes(1, 2)[padding] == 0).all()
