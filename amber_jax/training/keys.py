"""The keys of a run: all that is random in it comes from its seed, each use apart."""

import jax

from amber_jax.types import Array

_FIRST_PARAMETERS, _MASKS, _DROPOUT = range(3)


def init_key(seed: int) -> Array:
    """The key that the first parameters are drawn from."""
    return jax.random.fold_in(jax.random.key(seed), _FIRST_PARAMETERS)


def mask_key(seed: int) -> Array:
    """The key of masks and position offsets."""
    return jax.random.fold_in(jax.random.key(seed), _MASKS)


def dropout_key(seed: int) -> Array:
    """The key of dropout."""
    return jax.random.fold_in(jax.random.key(seed), _DROPOUT)
