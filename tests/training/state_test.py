"""What a run begins with."""

import jax
import jax.numpy as jnp
import optax

from amber_jax.training.state import TrainState, new_state


def test_a_new_state_has_done_and_skipped_nothing():
    params = {"kernel": jnp.ones((2, 3))}
    state = new_state(params, optax.scale_by_adam())
    assert state.params is params
    for counter in (state.step, state.skipped, state.skipped_in_a_row):
        assert (counter.shape, counter.dtype, int(counter)) == ((), jnp.int32, 0)
    moments = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim]
    assert len(moments) == 2
    assert not any(leaf.any() for leaf in moments)


def test_a_state_can_be_planned_without_memory():
    shapes = jax.eval_shape(
        lambda: new_state({"kernel": jnp.ones((10**6, 10**5))}, optax.identity())
    )
    assert isinstance(shapes, TrainState)
    assert shapes.params["kernel"].size == 10**11


def test_counters_are_arrays_of_their_own_so_that_a_step_may_reuse_their_memory():
    state = new_state({"kernel": jnp.ones(3)}, optax.identity())
    donated = jax.jit(
        lambda x: jax.tree.map(lambda leaf: leaf + 1, x), donate_argnums=0
    )
    assert int(donated(state).skipped) == 1
