"""Dropout from half the random bits."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from amber_jax.types import Array

_STEPS = 1 << 16  # probabilities are multiples of one part in so many


class Dropout(nn.Module):
    """Sets activations to zero at random and scales the others up.

    Two activations share one random word of 32 bits, half the work of a word each;
    their probability is exact to one part in 65,536.
    """

    rate: float  # probability

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Returns `x` after dropout, or as it is unless `train`."""
        dropped = round(self.rate * _STEPS)
        if not train or not dropped:
            return x
        keep = _random_halves(self.make_rng("dropout"), x.shape) >= dropped
        return jnp.where(keep, x * (_STEPS / (_STEPS - dropped)), 0)


def _random_halves(key: Array, shape: tuple[int, ...]) -> Array:
    """Returns uniform uint16 of `shape`."""
    *lead, last = shape
    words = jax.random.bits(key, (*lead, -(-last // 2)), jnp.uint32)
    halves = jax.lax.bitcast_convert_type(words, jnp.uint16)  # [..., ceil(last / 2), 2]
    return halves.reshape(*lead, -1)[..., :last]
