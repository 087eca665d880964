"""One update: pure, for any objective, on any number of devices."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from amber_jax.reductions import reduce_sum
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
        batch: this device's rows where the step is mapped, else all.
        base_key: the run's key. What is random in step k is derived from it and k, by
            the objective from their key and what is told of each row: it is the same on
            all devices and in all parts.
        objective: its terms are named WeightedSums.
        loss_weights: step -> weights of the terms that are losses.
        learning_rate: step -> learning rate.
        optimizer: gradients -> descent direction.
        micro_batches: the batch is processed in this many parts, to save memory; what
            compares examples still compares those of all parts.
        axis_name: the mapped axis, None where the step is not; see `reductions`.
    """
    scales = loss_weights(state.step)
    differentiate = _at_once if micro_batches == 1 else _part_by_part
    means, grads = differentiate(
        state.params,
        _split(batch, micro_batches),
        jax.random.fold_in(base_key, state.step),
        objective=objective,
        scales=scales,
        axis_name=axis_name,
    )
    means, grads = reduce_sum((means, grads), axis_name)
    loss = sum(scales[name] * means[name] for name in scales)
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


def _at_once(
    params: Params,
    parts: Batch,
    key: Array,
    *,
    objective: Objective,
    scales: Mapping[str, Array],
    axis_name: str | None,
) -> tuple[Metrics, Any]:
    """Returns this device's shares of the means, and their gradient."""
    batch = jax.tree.map(lambda x: x[0], parts)

    def loss_share(params: Params) -> tuple[Array, Metrics]:
        terms = objective(params, batch, key, train=True, axis_name=axis_name)
        return _loss_share(terms, _global_weights(terms, axis_name), scales)

    grads, means = jax.grad(loss_share, has_aux=True)(params)
    return means, grads


def _part_by_part(
    params: Params,
    parts: Batch,
    key: Array,
    *,
    objective: Objective,
    scales: Mapping[str, Array],
    axis_name: str | None,
) -> tuple[Metrics, Any]:
    """Returns what `_at_once` does, with the memory of one part.

    The embeddings of all parts are computed first and kept without what led to them.
    The gradient by them tells every part, computed once more, how its own embeddings
    are to move.

    Source: Gao et al. 2021, arXiv 2101.06983.
    """

    def survey(part: Batch) -> tuple[dict[str, Array], Any]:
        terms, embeddings = objective.apart(params, part, key, train=True)
        return {name: term.weight for name, term in terms.items()}, embeddings

    # Weights do not depend on parameters, so the compiler drops what only leads to
    # losses from this survey.
    weights, embeddings = jax.lax.map(survey, parts)
    weights = reduce_sum(jax.tree.map(lambda x: x.sum(0), weights), axis_name)

    def compared(embeddings: Any) -> tuple[Array, Metrics]:
        examples = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), embeddings)
        terms = objective.together(examples, axis_name=axis_name)
        return _loss_share(terms, _global_weights(terms, axis_name), scales)

    directions, joint_means = jax.grad(compared, has_aux=True)(embeddings)

    def pull(params: Params, part: Batch, direction: Any) -> Any:
        terms, embeddings = objective.apart(params, part, key, train=True)
        loss, means = _loss_share(terms, weights, scales)
        pulls = jax.tree.map(lambda x, d: (x * d).sum(), embeddings, direction)
        return loss + sum(jax.tree.leaves(pulls)), means

    def one_part(part_and_direction: tuple[Batch, Any]) -> tuple[Any, Metrics]:
        return jax.grad(pull, has_aux=True)(params, *part_and_direction)

    grads, means = _sum_over_parts(one_part, (parts, directions))
    return means | joint_means, grads


def _global_weights(
    terms: Mapping[str, WeightedSum], axis_name: str | None
) -> dict[str, Array]:
    own = {name: term.weight for name, term in terms.items()}
    return reduce_sum(jax.lax.stop_gradient(own), axis_name)


def _loss_share(
    terms: Mapping[str, WeightedSum],
    weights: Mapping[str, Array],
    scales: Mapping[str, Array],
) -> tuple[Array, Metrics]:
    """Returns the part of the loss that `terms` make up, and of the terms' means."""
    means = {name: _share(term, weights[name]) for name, term in terms.items()}
    loss = sum(scales[name] * means[name] for name in scales if name in means)
    return jnp.float32(loss), means


@jax.named_scope("update")
def _apply(
    state: TrainState,
    loss: Array,
    grads: Any,
    rate: Array,
    optimizer: optax.GradientTransformation,
) -> tuple[TrainState, Array]:
    grad_norm = optax.tree.norm(grads)
    finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)

    def update(grads: Any, params: Params, opt_state: Any) -> tuple[Params, Any]:
        direction, opt_state = optimizer.update(grads, opt_state, params)
        return jax.tree.map(lambda p, d: p - rate * d, params, direction), opt_state

    # A branch works in place; choosing between new and old values would keep both.
    params, opt_state = jax.lax.cond(
        finite,
        update,
        lambda _, params, opt_state: (params, opt_state),
        grads,
        state.params,
        state.opt_state,
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


def _sum_over_parts(function: Callable[[Any], Any], parts: Any) -> Any:
    """Returns the sum of `function` over the first axis of `parts`."""
    shapes = jax.eval_shape(function, jax.tree.map(lambda x: x[0], parts))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def add(total: Any, part: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(part)), None

    return jax.lax.scan(add, zeros, parts)[0]
