"""Everything that changes during training, in one pytree."""

from typing import NamedTuple

import jax.numpy as jnp
import optax

from amber_jax.types import Array, Params


class TrainState(NamedTuple):
    """Parameters, optimizer memory and counters; a checkpoint holds exactly this."""

    step: Array  # [] int32, finished updates of the whole run, skipped ones included
    params: Params  # float32
    opt_state: optax.OptState
    skipped: Array  # [] int32, updates skipped because they were not finite
    skipped_in_a_row: Array  # [] int32


def new_state(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """Returns the state before the first update."""
    step, skipped, in_a_row = (jnp.zeros((), jnp.int32) for _ in range(3))
    return TrainState(step, params, optimizer.init(params), skipped, in_a_row)
