"""GELU and LayerNorm, whose backward passes keep their inputs alone."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.types import Array

_SQRT_HALF = np.float32(np.sqrt(0.5))
_DENSITY_AT_ZERO = np.float32(1 / np.sqrt(2 * np.pi))  # of the normal distribution


def once_there(x: Array, grad: Array) -> Array:
    """`x` unchanged, but not before `grad`, whose shape broadcasts to that of `x`.

    A value that the backward pass computes again, XLA would otherwise take from the
    forward pass, or compute long before its use, and keep in either case. It cannot
    leave this product out, because infinities and NaN would not give 0.
    """
    return x + (0 * grad).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def gelu(x: Array, form: str = "erfc") -> Array:
    """x times the normal distribution's share below x, of any shape.

    Args:
        x: of any shape.
        form: `Kernels.gelu`; 16 bits always take "erf".

    Source: Hendrycks and Gimpel 2016, arXiv 1606.08415; exact, as BERT has it.
    """
    wide = x.astype(jnp.float32)
    return (wide * _share_below(wide, x.dtype, form)).astype(x.dtype)


def _share_below(wide: Array, dtype: Any, form: str) -> Array:
    """Returns the normal distribution's share below `wide`, float32.

    Close to 0 `erfc` alone is right to the last digit, which 16 bits do not show. It
    takes four times as many operations as `erf`: a GPU has not so many while it reads
    and writes a number.
    """
    if form == "erfc" and dtype.itemsize > 2:
        return 0.5 * jax.lax.erfc(-wide * _SQRT_HALF)
    return 0.5 + 0.5 * jax.lax.erf(wide * _SQRT_HALF)


def _gelu_forward(x: Array, form: str) -> tuple[Array, Array]:
    return gelu(x, form), x


def _gelu_backward(form: str, x: Array, grad: Array) -> tuple[Array]:
    wide = once_there(x, grad).astype(jnp.float32)
    below = _share_below(wide, x.dtype, form)
    density = _DENSITY_AT_ZERO * jnp.exp(-0.5 * wide * wide)
    return (((below + wide * density) * grad).astype(grad.dtype),)


gelu.defvjp(_gelu_forward, _gelu_backward)


class LayerNorm(nn.Module):
    """Vectors of mean 0 and variance 1, scaled and moved by learned numbers."""

    features: int
    dtype: str  # of the result; statistics and parameters are float32
    epsilon: float  # added to the variance

    def setup(self) -> None:
        """Names the parameters."""
        self.scale = self.param("scale", nn.initializers.ones, (self.features,))
        self.bias = self.param("bias", nn.initializers.zeros, (self.features,))

    def __call__(self, x: Array) -> Array:
        """[..., D] -> [..., D]."""
        return layer_norm(x, self.scale, self.bias, self.dtype, self.epsilon)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def layer_norm(
    x: Array, scale: Array, bias: Array, dtype: str, epsilon: float
) -> Array:
    """x [..., D], normalized in float32, in `dtype`.

    Args:
        x: [..., D].
        scale: [D] float32, as is the next.
        bias: the shift.
        dtype: of the result.
        epsilon: added to the variance.

    Source: Ba et al. 2016, arXiv 1607.06450.
    """
    return _layer_norm_forward(x, scale, bias, dtype, epsilon)[0]


def _layer_norm_forward(
    x: Array, scale: Array, bias: Array, dtype: str, epsilon: float
) -> tuple[Array, tuple[Array, Array, Array, Array]]:
    wide = x.astype(jnp.float32)
    mean = wide.mean(-1, keepdims=True)
    variance = jnp.maximum((wide * wide).mean(-1, keepdims=True) - mean * mean, 0)
    rate = jax.lax.rsqrt(variance + epsilon)
    ones = (1,) * (x.ndim - 1)
    y = (wide - mean) * rate * scale.reshape(*ones, -1) + bias.reshape(*ones, -1)
    return y.astype(dtype), (x, scale, mean, rate)


def _layer_norm_backward(
    _: str, __: float, kept: tuple[Array, Array, Array, Array], grad: Array
) -> tuple[Array, Array, Array]:
    x, scale, mean, rate = kept
    grad = grad.astype(jnp.float32)
    mean, rate = (once_there(y, grad[..., :1]) for y in (mean, rate))
    scale = once_there(scale.reshape(*[1] * (x.ndim - 1), -1), grad[:, :1])
    normal = (x.astype(jnp.float32) - mean) * rate
    by_normal = grad * scale
    along = (by_normal * normal).mean(-1, keepdims=True)
    by_x = rate * (by_normal - by_normal.mean(-1, keepdims=True) - normal * along)
    rows = tuple(range(x.ndim - 1))
    return by_x.astype(x.dtype), (grad * normal).sum(rows), grad.sum(rows)


layer_norm.defvjp(_layer_norm_forward, _layer_norm_backward)
