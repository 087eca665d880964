"""Dropout as a function of an element's position, which keeps no bits.

Whether an element is dropped is a hash of its index in its row and of two seeds, which
are hashes of the row's key, the layer and which of the layer's dropouts it is. So rows
may be computed together or apart, on any number of devices and in any number of parts,
and the backward pass, or a kernel that sees a block, computes the same decisions again.
"""

import functools
import math
from typing import TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.model.masking import row_keys
from amber_jax.types import Array

_STEPS = 1 << 16  # probabilities are multiples of one part in so many
_FIRST_FACTOR, _SECOND_FACTOR = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)


def row_seeds(key: Array, row_ids: Array) -> Array:
    """The seeds of rows in a pass of a step, [B, 2] uint32.

    Args:
        key: of the step and the pass.
        row_ids: [B, I] uint32, in a step different for every row.
    """
    return jax.random.key_data(row_keys(key, row_ids))


def derived(seeds: Array, number: Array | int) -> Array:
    """The seeds of a layer, or of one of its dropouts, [B, 2] uint32.

    Args:
        seeds: [B, 2] uint32 of the encoder, or of the layer.
        number: [] below 2**31, of the layer, or of the dropout.
    """
    words = 2 * jnp.uint32(number) + jnp.arange(1, 3, dtype=jnp.uint32)
    return _mixed(seeds ^ _mixed(words)[None])


def kept(seeds: Array, shape: tuple[int, ...], rate: float) -> Array:
    """Which elements stay, [B, ...] bool of `shape`.

    Args:
        seeds: [B, 2] uint32.
        shape: of an array with rows first; a row has less than 2**32 elements.
        rate: probability of not staying, exact to one part in 65,536.
    """
    ones = (1,) * (len(shape) - 1)
    first, second = (seeds[:, column].reshape(-1, *ones) for column in (0, 1))
    indices = jax.lax.iota(jnp.uint32, math.prod(shape[1:])).reshape(1, *shape[1:])
    return kept_at((first, second), indices, rate)


def kept_at(seeds: tuple[Array, Array], indices: Array, rate: float) -> Array:
    """Whether dropout keeps the elements at `indices` of their rows, bool.

    Args:
        seeds: both seeds of the rows, uint32, of shapes that broadcast to `indices`.
        indices: uint32, of elements within their rows, counted in C order.
        rate: as of `kept`.

    Source: Wellons, "Prospecting for Hash Functions", 2018, lowbias32, with the second
    seed added before its last product.
    """
    words = _once_mixed(indices ^ seeds[0])
    # The last step of lowbias32 changes the lower half alone, which is not read.
    words = (words ^ seeds[1]) * _SECOND_FACTOR
    return words >= np.uint32(_dropped(rate) << 16)


def scale_of_kept(rate: float) -> float:
    """The factor of the elements that stay, which preserves the mean."""
    return _STEPS / (_STEPS - _dropped(rate))


def drops(seeds: Array | None, rate: float) -> TypeGuard[Array]:
    """Whether anything is dropped at all."""
    return seeds is not None and _dropped(rate) > 0


def drop(x: Array, seeds: Array | None, rate: float) -> Array:
    """`x` with elements set to zero at random and the others scaled up.

    Args:
        x: [B, ...].
        seeds: [B, 2] uint32, of this dropout alone; None for none.
        rate: probability.
    """
    return _drop(x, seeds, rate) if drops(seeds, rate) else x


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _drop(x: Array, seeds: Array, rate: float) -> Array:
    return jnp.where(kept(seeds, x.shape, rate), x * scale_of_kept(rate), 0)


def _forward(x: Array, seeds: Array, rate: float) -> tuple[Array, Array]:
    return _drop(x, seeds, rate), seeds


def _backward(rate: float, seeds: Array, grad: Array) -> tuple[Array, None]:
    # Without the barrier XLA would see that both masks are equal, and keep the first.
    return _drop(grad, jax.lax.optimization_barrier(seeds), rate), None


_drop.defvjp(_forward, _backward)


def _dropped(rate: float) -> int:
    return round(rate * _STEPS)


def _mixed(words: Array) -> Array:
    """lowbias32 of uint32 words; source as of `kept_at`."""
    words = _once_mixed(words) * _SECOND_FACTOR
    return words ^ (words >> 16)


def _once_mixed(words: Array) -> Array:
    words = (words ^ (words >> 16)) * _FIRST_FACTOR
    return words ^ (words >> 15)
