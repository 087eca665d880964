"""Attention of a row over itself: one definition, and several forms of it.

The written form runs everywhere, with every mask and dropout, and is the reference of
the others. Kernels of accelerators, where they support the shapes, never write the
[B, H, L, L] between the two products to memory.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from amber_jax.model.activation import once_there
from amber_jax.model.kernels.dropout import drops, kept, scale_of_kept
from amber_jax.model.rows import Mask
from amber_jax.types import Array

MASKED_SCORE = -1e9  # no real score comes near half of it
LEAST_TOTAL = 1e-30  # of a token that attends nothing; it gets zeros


def attend(
    stacked: Array,
    mask: Mask,
    *,
    seeds: Array | None,
    rate: float,
    form: str,
) -> Array:
    """The mean of the values that each token attends, [B, L, H, K].

    What a kernel does not take is written out: Triton takes 16-bit rows of any length
    with heads of round widths, Mosaic rows of whole tiles that a core has room for.

    Args:
        stacked: [B, L, 3, H, K], every token's query, key and value.
        mask: who may attend whom; padding gets anything finite.
        seeds: [B, 2] uint32, of the dropout of probabilities; None for none.
        rate: of that dropout; probability.
        form: `Kernels.attention`.
    """
    if form != "written":
        kernel = _kernel(form)
        if kernel.takes(stacked):
            return _on_every_device(kernel.attend, rate)(stacked, mask, seeds)
    return _written(*_apart(stacked), mask, seeds, rate, False)[0]


def attend_with_probs(
    stacked: Array,
    mask: Mask,
    *,
    seeds: Array | None,
    rate: float,
) -> tuple[Array, Array]:
    """The result of `attend`, and the probabilities before dropout.

    They are [B, H, L, L] in the activations' dtype, rows are queries. Arguments are as
    of `attend`; kernels do not hand out probabilities, so this is written out.
    """
    return _written(*_apart(stacked), mask, seeds, rate, True)


def _apart(stacked: Array) -> list[Array]:
    """Returns query, key and value, each [B, L, H, K]."""
    return [jnp.squeeze(part, 2) for part in jnp.split(stacked, 3, axis=2)]


class _Residuals(NamedTuple):
    """The inputs and results that the written form's backward pass needs."""

    query: Array
    key: Array
    value: Array
    mask: Mask
    seeds: Array | None
    context: Array  # [B, L, H, K]
    log_total: Array  # [B, H, L, 1] float32, log of the sum of exp(scores)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _written(
    query: Array,
    key: Array,
    value: Array,
    mask: Mask,
    seeds: Array | None,
    rate: float,
    with_probs: bool,
) -> tuple[Array, Any]:
    return _forward(query, key, value, mask, seeds, rate, with_probs)[0]


def _forward(
    query: Array,
    key: Array,
    value: Array,
    mask: Mask,
    seeds: Array | None,
    rate: float,
    with_probs: bool,
) -> tuple[tuple[Array, Any], _Residuals]:
    scores = _scores(query, key, mask)
    highest = jnp.maximum(scores.max(-1, keepdims=True), MASKED_SCORE / 2)
    weights = jnp.exp(scores - highest)
    total = jnp.maximum(weights.sum(-1, keepdims=True), LEAST_TOTAL)  # [B, H, L, 1]
    dropped = _drop(weights, seeds, rate).astype(value.dtype)
    exact = {"preferred_element_type": jnp.float32}
    # Divided by their total when they are added up: that is fewer numbers.
    summed = jnp.einsum("bhqs,bshk->bhqk", dropped, value, **exact) / total
    context = summed.swapaxes(1, 2).astype(value.dtype)
    log_total = highest + jnp.log(total)
    returned_probs = (weights / total).astype(value.dtype) if with_probs else None
    return (context, returned_probs), _Residuals(
        query, key, value, mask, seeds, context, log_total
    )


def _backward(
    rate: float, with_probs: bool, saved: _Residuals, grads: tuple[Array, Any]
) -> tuple[Any, ...]:
    query, key, value, mask, seeds, context, log_total = saved
    grad, by_probs = grads
    narrow, exact = value.dtype, {"preferred_element_type": jnp.float32}
    query = once_there(query, grad[:, :1, :1, :1])
    probs = jnp.exp(_scores(query, key, mask) - log_total)
    dropped = _drop(probs, seeds, rate)
    by_value = jnp.einsum("bhqs,bqhk->bshk", dropped.astype(narrow), grad)

    by_scores = dropped * jnp.einsum("bqhk,bshk->bhqs", grad, value, **exact)
    # A token's probabilities sum to 1, so their gradients lose their weighted mean.
    weighted = (grad.astype(jnp.float32) * context).sum(-1).swapaxes(1, 2)[..., None]
    if with_probs:
        by_returned = probs * by_probs.astype(jnp.float32)
        weighted += by_returned.sum(-1, keepdims=True)
        by_scores += by_returned
    by_scores = ((by_scores - probs * weighted) * _scale(query)).astype(narrow)
    by_query = jnp.einsum("bhqs,bshk->bqhk", by_scores, key)
    by_key = jnp.einsum("bhqs,bqhk->bshk", by_scores, query)
    return by_query, by_key, by_value, None, None


_written.defvjp(_forward, _backward)


def _scores(query: Array, key: Array, mask: Mask) -> Array:
    """Two [B, L, H, K] -> [B, H, L, L] float32, rows are queries."""
    exact = {"preferred_element_type": jnp.float32}
    scores = jnp.einsum("bqhk,bshk->bhqs", query, key, **exact)
    return jnp.where(mask.dense()[:, None], scores * _scale(query), MASKED_SCORE)


def _scale(query: Array) -> float:
    return query.shape[-1] ** -0.5


def _drop(x: Array, seeds: Array | None, rate: float) -> Array:
    """`x` [B, H, L, L] after dropout, without a backward pass of its own."""
    if not drops(seeds, rate):
        return x
    return jnp.where(kept(seeds, x.shape, rate), x * scale_of_kept(rate), 0)


def _on_every_device(
    function: Callable[..., Array], *settings: Any
) -> Callable[..., Array]:
    """`function` of arrays, run by every device on its own rows.

    After the arrays it gets the settings.

    The compiler cannot divide a hand-written kernel. Where it divides the step, that is
    traced with the devices' mesh around it; in a mapped step there is nothing to do.
    """

    def run(*arrays: Any) -> Array:
        return function(*arrays, *settings)

    mesh = jax.sharding.get_abstract_mesh()
    if not mesh.auto_axes:
        return run
    rows = PartitionSpec(mesh.auto_axes)
    return jax.shard_map(run, in_specs=rows, out_specs=rows, check_vma=False)


def _kernel(form: str) -> Any:
    """The module of a form that is not written out."""
    # Imported here, because that takes a quarter of a second of every start.
    from amber_jax.model.kernels import mosaic, triton

    return {"mosaic": mosaic, "triton": triton}[form]
