"""Masked language modelling, on one language (MLM) or on a pair (TLM)."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.nn import logsumexp

from amber_jax.types import Array, WeightedSum

LOGIT_BYTES = 1 << 30
"""Logits that exist at once, on one device; more of them are made part by part."""
_LANES = 128  # matrix units like sizes that this divides
_NO_WORD = -1e9


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Returns the negative log-likelihood of `labels`, [...] float32, in nats.

    Args:
        logits: [..., C], unnormalised.
        labels: [...] int32 in [0, C).
    """
    logits = logits.astype(jnp.float32)
    picked = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return logsumexp(logits, axis=-1) - picked


def masked_lm(
    features: Array,
    words: Array,
    bias: Array,
    mlm_targets: Array,
    mlm_weights: Array,
    *,
    parts: int = 1,
) -> tuple[WeightedSum, WeightedSum]:
    """Cross entropy of the hidden tokens given what is left of the row, and hits.

    The gradient is computed together with the loss, from the same logits: they are
    neither kept nor computed again. A hit is a token to which no other is preferred.

    Args:
        features: [B, P, D], what the head compares with the words.
        words: [V, D] float32, the word embeddings.
        bias: [V] float32.
        mlm_targets: [B, P] int32.
        mlm_weights: [B, P] float32, 0 on filler slots.
        parts: into how many parts the rows are cut, see `num_parts`.

    Returns:
        (loss, hits): WeightedSums in nats and in tokens; the weight of both is the
        number of predicted tokens.

    Source: Hu et al. 2021, L_MLM; Devlin et al. 2019.
    """
    chex.assert_rank(features, 3)
    chex.assert_equal_shape([mlm_targets, mlm_weights])
    total, hits = _masked_lm(features, words, bias, mlm_targets, mlm_weights, parts)
    weight = mlm_weights.sum()
    return WeightedSum(total, weight), WeightedSum(hits, weight)


def num_parts(rows: int, slots: int, vocab_size: int) -> int:
    """Returns the fewest equal parts of `rows` whose logits fit into `LOGIT_BYTES`.

    Args:
        rows: rows of one device.
        slots: prediction slots of a row.
        vocab_size: V.
    """
    fitting = max(1, LOGIT_BYTES // (4 * slots * vocab_size))
    return next(n for n in range(1, rows + 1) if rows % n == 0 and rows // n <= fitting)


class _Part(NamedTuple):
    """What some rows add to the loss; gradients that nobody asked for are None."""

    loss: Array  # []
    hits: Array  # []
    by_features: Any  # [B, P, D], of these rows alone
    by_words: Any  # [V, D] float32
    by_bias: Any  # [V] float32


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _masked_lm(
    features: Array,
    words: Array,
    bias: Array,
    targets: Array,
    weights: Array,
    parts: int,
) -> tuple[Array, Array]:
    rows = (features, targets, weights)
    whole = _over_parts(rows, words, bias, parts, with_gradient=False)
    return whole.loss, whole.hits


def _forward(
    features: Array,
    words: Array,
    bias: Array,
    targets: Array,
    weights: Array,
    parts: int,
) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
    rows = (features, targets, weights)
    whole = _over_parts(rows, words, bias, parts, with_gradient=True)
    return (whole.loss, whole.hits), (whole.by_features, whole.by_words, whole.by_bias)


def _backward(
    _: int, kept: tuple[Array, Array, Array], slopes: tuple[Array, Array]
) -> tuple[Array | None, ...]:
    loss_slope = slopes[0]  # hits have no gradient
    # Scaled in float32: a rounded slope would change this loss's weight.
    grads = ((loss_slope * grad).astype(grad.dtype) for grad in kept)
    return (*grads, None, None)


_masked_lm.defvjp(_forward, _backward)


def _over_parts(
    rows: tuple[Array, Array, Array],
    words: Array,
    bias: Array,
    parts: int,
    *,
    with_gradient: bool,
) -> _Part:
    features, size = rows[0], len(bias)
    table, level = _padded(words, bias, features.dtype)
    one_part = functools.partial(
        _one_part, table=table, bias=level, with_gradient=with_gradient
    )
    whole = one_part(rows) if parts == 1 else _scan(one_part, rows, parts)
    if not with_gradient:
        return whole
    return whole._replace(
        by_features=whole.by_features.reshape(features.shape),
        by_words=whole.by_words[:size],
        by_bias=whole.by_bias[:size],
    )


def _scan(one_part: Callable[[Any], _Part], rows: Any, parts: int) -> _Part:
    """Returns the sum of the parts; their gradients by features stay apart."""
    # Every part takes every `parts`-th row, so that each device has rows of all.
    cut = jax.tree.map(
        lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), rows
    )
    shapes = jax.eval_shape(one_part, jax.tree.map(lambda x: x[0], cut))
    nothing = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), shapes._replace(by_features=None)
    )

    def add(total: _Part, part: Any) -> tuple[_Part, Array | None]:
        found = one_part(part)
        own = found.by_features
        return jax.tree.map(jnp.add, total, found._replace(by_features=None)), own

    total, own = jax.lax.scan(add, nothing, cut)
    if own is None:
        return total
    return total._replace(by_features=own.swapaxes(0, 1))


def _padded(words: Array, bias: Array, dtype: Any) -> tuple[Array, Array]:
    """Returns the words in `dtype`, up to a round number with words nobody prefers.

    Only where a copy is made anyway: float32 words are taken as they are.
    """
    if dtype == words.dtype:
        return words, bias
    missing = -len(bias) % _LANES
    return (
        jnp.pad(words.astype(dtype), ((0, missing), (0, 0))),
        jnp.pad(bias, (0, missing), constant_values=_NO_WORD),
    )


@jax.named_scope("masked_lm")
def _one_part(
    rows: tuple[Array, Array, Array],
    *,
    table: Array,
    bias: Array,
    with_gradient: bool,
) -> _Part:
    x, targets, weights = (y.reshape(-1, *y.shape[2:]) for y in rows)  # T = B * P
    exact = {"preferred_element_type": jnp.float32}
    logits = jnp.matmul(x, table.T, **exact) + bias[None]  # [T, V]
    highest = logits.max(-1)
    normaliser = jnp.log(jnp.exp(logits - highest[:, None]).sum(-1)) + highest
    picked = jnp.take_along_axis(logits, targets[:, None], axis=1)[:, 0]
    loss = ((normaliser - picked) * weights).sum()
    hits = ((picked >= highest) * weights).sum()
    if not with_gradient:
        return _Part(loss, hits, None, None, None)
    by_logits = jnp.exp(logits - normaliser[:, None]) * weights[:, None]
    # Compared, not scattered: a TPU would lay all logits out anew, there and back.
    is_target = jnp.arange(table.shape[0])[None] == targets[:, None]
    by_logits -= jnp.where(is_target, weights[:, None], 0)
    narrow = by_logits.astype(x.dtype)
    by_table = jax.lax.dot_general(narrow, x, (((0,), (0,)), ((), ())), **exact)
    by_features = jnp.matmul(narrow, table).reshape(rows[0].shape)
    return _Part(loss, hits, by_features, by_table, by_logits.sum(0))
