"""One update: pure, for any objective, on any number of devices."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from amber_jax.reductions import device_key, reduce_sum
from amber_jax.training.state import TrainState
from amber_jax.types import Array, Batch, Objective, Params, WeightedSum

Metrics = dict[str, Array]
TrainStep = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]


def train_step(
    state: TrainState,
    batch: Batch,
    base_key: Array,
    *,
    objective: Objective,
    loss_weights: Callable[[Array], Mapping[str, Array]],
    learning_rate: Callable[[Array], Array],
    optimizer: optax.GradientTransformation,
    micro_batches: int = 1,
    axis_name: str | None = None,
) -> tuple[TrainState, Metrics]:
    """Returns the state after one update, and its metrics as [] float32.

    Every loss is divided once, by its weight over all devices and micro-batches; what
    a device differentiates is its share of the global mean, so summing gradients over
    devices gives the gradient of that mean however uneven the weights are. An update
    that is not finite is not applied, only counted.

    Args:
        state: replicated on every device, or sharded under jit.
        batch: this device's rows under `pmap`, all rows under `jit`.
        base_key: the run's key. What is random in step k is derived from it and k.
        objective: batch -> named WeightedSums.
        loss_weights: step -> weights of the terms that are losses.
        learning_rate: step -> learning rate.
        optimizer: gradients -> descent direction.
        micro_batches: the batch is processed in this many parts, to save memory.
        axis_name: the mapped axis under `pmap`, None under `jit`.
    """
    key = device_key(jax.random.fold_in(base_key, state.step), axis_name)
    parts = _split(batch, micro_batches)
    keys = jax.random.split(key, micro_batches)

    def terms_of(params: Params, part: Batch, part_key: Array) -> Any:
        return objective(params, part, part_key, train=True, axis_name=axis_name)

    def weights_of(part: Batch, part_key: Array) -> dict[str, Array]:
        terms = terms_of(state.params, part, part_key)
        return {name: term.weight for name, term in terms.items()}

    # Weights do not depend on parameters, so the compiler drops the passes from their
    # sum; a single part needs no sum, and its terms are at hand when they are divided.
    all_parts = None
    if micro_batches > 1:
        all_parts = reduce_sum(_sum_over_parts(weights_of, parts, keys), axis_name)
    scales = loss_weights(state.step)

    def loss_share(
        params: Params, part: Batch, part_key: Array
    ) -> tuple[Array, Metrics]:
        terms = terms_of(params, part, part_key)
        weights = all_parts
        if weights is None:
            own = {name: term.weight for name, term in terms.items()}
            weights = reduce_sum(jax.lax.stop_gradient(own), axis_name)
        means = {name: _share(term, weights[name]) for name, term in terms.items()}
        return sum(scales[name] * means[name] for name in scales), means

    (loss, means), grads = _sum_over_parts(
        lambda part, part_key: jax.value_and_grad(loss_share, has_aux=True)(
            state.params, part, part_key
        ),
        parts,
        keys,
    )
    loss, means, grads = reduce_sum((loss, means, grads), axis_name)
    rate = learning_rate(state.step)
    new_state, grad_norm = _apply(state, loss, grads, rate, optimizer)
    metrics = means | {
        "loss": loss,
        "learning_rate": rate,
        "grad_norm": grad_norm,
        "skipped_steps": new_state.skipped,
        "skipped_in_a_row": new_state.skipped_in_a_row,
    }
    return new_state, metrics


def _apply(
    state: TrainState,
    loss: Array,
    grads: Any,
    rate: Array,
    optimizer: optax.GradientTransformation,
) -> tuple[TrainState, Array]:
    grad_norm = optax.tree.norm(grads)
    finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    direction, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = jax.tree.map(lambda p, d: p - rate * d, state.params, direction)
    params, opt_state = jax.tree.map(
        lambda new, old: jnp.where(finite, new, old),
        (params, opt_state),
        (state.params, state.opt_state),
    )
    bad = 1 - finite.astype(jnp.int32)
    return TrainState(
        step=state.step + 1,
        params=params,
        opt_state=opt_state,
        skipped=state.skipped + bad,
        skipped_in_a_row=(state.skipped_in_a_row + 1) * bad,
    ), grad_norm


def _share(term: WeightedSum, weight: Array) -> Array:
    return term.total / jnp.where(weight > 0, weight, 1.0)


def _split(batch: Batch, parts: int) -> Batch:
    """Returns [parts, B / parts, ...]: every part takes every `parts`-th row.

    Strided, so that under jit each device's rows are spread over all parts.
    """
    return jax.tree.map(
        lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch
    )


def _sum_over_parts(function: Callable[..., Any], parts: Batch, keys: Array) -> Any:
    """Returns the sum of `function(part, key)` over the first axis of both."""
    first = jax.tree.map(lambda x: x[0], (parts, keys))
    if keys.shape[0] == 1:
        return function(*first)
    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, *first)
    )

    def add(total: Any, part: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(*part)), None

    return jax.lax.scan(add, zeros, (parts, keys))[0]
