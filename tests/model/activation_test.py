import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax.model.activation import gelu, layer_norm, once_there
from amber_jax.model.kernels import FORMS

EPSILON = 1e-5


def gradients(function, *args):
    return jax.jit(
        jax.value_and_grad(lambda *xs: jnp.sin(function(*xs)).sum(), range(len(args)))
    )(*args)


def assert_close(tree, expected, tolerance):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance),
        tree,
        expected,
    )


@pytest.mark.parametrize("form", FORMS["gelu"])
def test_gelu_and_its_gradient_are_the_exact_ones(form):
    x = jnp.linspace(-6, 6, 601)
    assert_close(
        gradients(lambda x: gelu(x, form), x),
        gradients(lambda x: nn.gelu(x, approximate=False), x),
        1e-5,
    )


def test_narrow_gelu_and_its_gradient_are_rounded_once():
    x = jnp.linspace(-6, 6, 601).astype(jnp.bfloat16)
    wide = x.astype(jnp.float32)
    rounded, exact = (
        (gelu(x), jax.vjp(gelu, x)[1](jnp.ones_like(x))[0]) for x in (x, wide)
    )
    for narrow, y in zip(rounded, exact, strict=True):
        assert narrow.dtype == jnp.bfloat16
        np.testing.assert_allclose(narrow.astype(jnp.float32), y, rtol=4e-3, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 7, 16), (5, 24)])
def test_layer_norm_and_its_gradients_are_those_of_flax(shape):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(2, 3, shape), jnp.float32)
    scale, bias = jnp.asarray(rng.normal(1, 1, (2, shape[-1])), jnp.float32)

    def flax(x, scale, bias):
        params = {"params": {"scale": scale, "bias": bias}}
        return nn.LayerNorm(epsilon=EPSILON).apply(params, x)

    assert_close(
        gradients(lambda *args: layer_norm(*args, "float32", EPSILON), x, scale, bias),
        gradients(flax, x, scale, bias),
        2e-5,
    )


def test_narrow_activations_are_normalized_in_float32():
    x = jnp.asarray(np.random.default_rng(0).normal(300, 1, (4, 64)), jnp.bfloat16)
    scale, bias = jnp.ones(64), jnp.zeros(64)
    normalized = layer_norm(x, scale, bias, "bfloat16", EPSILON)
    assert normalized.dtype == jnp.bfloat16
    wide = layer_norm(x.astype(jnp.float32), scale, bias, "float32", EPSILON)
    np.testing.assert_allclose(
        normalized.astype(jnp.float32), wide, rtol=0.01, atol=0.01
    )


def test_waiting_changes_nothing_but_shows_what_is_not_finite():
    x = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(once_there(x, jnp.ones((2, 1))), x)
    assert np.isnan(once_there(x, jnp.full((2, 1), jnp.inf))).all()
