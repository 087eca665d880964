"""Masked language modeling, on one language (MLM) or on a pair (TLM)."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.nn import logsumexp

from amber_jax.types import Array, WeightedSum

LOGIT_BYTES = 1 << 30
"""Logits that exist at once, on one device; more are computed part by part."""
_LANES = 128  # matrix units like sizes that this divides
_PADDING_LOGIT = -1e9


def cross_entropy(logits: Array, labels: Array) -> Array:
    """The negative log-likelihood of `labels`, [...] float32, in nats.

    Args:
        logits: [..., C], unnormalized.
        labels: [...] int32 in [0, C).
    """
    logits = logits.astype(jnp.float32)
    target = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return logsumexp(logits, axis=-1) - target


def masked_lm(
    features: Array,
    words: Array,
    bias: Array,
    mlm_targets: Array,
    mlm_weights: Array,
    *,
    parts: int = 1,
) -> tuple[WeightedSum, WeightedSum]:
    """Cross entropy of the masked tokens given the rest of the row, and hits.

    The gradient is computed together with the loss, from the same logits: they are
    neither kept nor computed again. A hit is a target whose logit is the highest.

    Args:
        features: [B, P, D], the head's, to compare with the words.
        words: [V, D] float32, the word embeddings.
        bias: [V] float32.
        mlm_targets: [B, P] int32.
        mlm_weights: [B, P] float32, 0 on filler slots.
        parts: how many parts the rows are cut into, see `num_parts`.

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
    """The fewest equal parts of `rows` whose logits fit into `LOGIT_BYTES`.

    Args:
        rows: rows of one device.
        slots: prediction slots of a row.
        vocab_size: V.
    """
    fitting = max(1, LOGIT_BYTES // (4 * slots * vocab_size))
    return next(n for n in range(1, rows + 1) if rows % n == 0 and rows // n <= fitting)


class _Part(NamedTuple):
    """The contribution of some rows to the loss; gradients not asked for are None."""

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
    total = _over_parts(rows, words, bias, parts, with_gradient=False)
    return total.loss, total.hits


def _forward(
    features: Array,
    words: Array,
    bias: Array,
    targets: Array,
    weights: Array,
    parts: int,
) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
    rows = (features, targets, weights)
    total = _over_parts(rows, words, bias, parts, with_gradient=True)
    return (total.loss, total.hits), (total.by_features, total.by_words, total.by_bias)


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
    table, padded_bias = _padded(words, bias, features.dtype)
    part_of = functools.partial(
        _part_of, table=table, bias=padded_bias, with_gradient=with_gradient
    )
    total = part_of(rows) if parts == 1 else _scan(part_of, rows, parts)
    if not with_gradient:
        return total
    return total._replace(
        by_features=total.by_features.reshape(features.shape),
        by_words=total.by_words[:size],
        by_bias=total.by_bias[:size],
    )


def _scan(part_of: Callable[[Any], _Part], rows: Any, parts: int) -> _Part:
    """The sum of the parts; their gradients by features are concatenated."""
    # Every part takes every `parts`-th row, so that each device has rows of all:
    # [B, ...] -> [parts, B / parts, ...]
    split_rows = jax.tree.map(
        lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), rows
    )
    shapes = jax.eval_shape(part_of, jax.tree.map(lambda x: x[0], split_rows))
    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), shapes._replace(by_features=None)
    )

    def add(total: _Part, rows: Any) -> tuple[_Part, Array | None]:
        part = part_of(rows)
        summed = jax.tree.map(jnp.add, total, part._replace(by_features=None))
        return summed, part.by_features

    total, by_features = jax.lax.scan(add, zeros, split_rows)
    if by_features is None:
        return total
    return total._replace(by_features=by_features.swapaxes(0, 1))


def _padded(words: Array, bias: Array, dtype: Any) -> tuple[Array, Array]:
    """The words in `dtype`, up to a round number by padding entries with logit -1e9.

    Only where a copy is made anyway: float32 words are not padded.
    """
    if dtype == words.dtype:
        return words, bias
    missing = -len(bias) % _LANES
    return (
        jnp.pad(words.astype(dtype), ((0, missing), (0, 0))),
        jnp.pad(bias, (0, missing), constant_values=_PADDING_LOGIT),
    )


@jax.named_scope("masked_lm")
def _part_of(
    rows: tuple[Array, Array, Array],
    *,
    table: Array,
    bias: Array,
    with_gradient: bool,
) -> _Part:
    # [B, P, D], [B, P], [B, P] -> [T, D], [T], [T]
    x, targets, weights = (y.reshape(-1, *y.shape[2:]) for y in rows)
    exact = {"preferred_element_type": jnp.float32}
    logits = jnp.matmul(x, table.T, **exact) + bias[None]  # [T, V]
    highest = logits.max(-1)
    log_total = jnp.log(jnp.exp(logits - highest[:, None]).sum(-1)) + highest
    target_logits = jnp.take_along_axis(logits, targets[:, None], axis=1)[:, 0]  # [T]
    loss = ((log_total - target_logits) * weights).sum()
    hits = ((target_logits >= highest) * weights).sum()
    if not with_gradient:
        return _Part(loss, hits, None, None, None)
    by_logits = jnp.exp(logits - log_total[:, None]) * weights[:, None]
    # Compared, not scattered: a TPU would lay all logits out anew, there and back.
    is_target = jnp.arange(table.shape[0])[None] == targets[:, None]
    by_logits -= jnp.where(is_target, weights[:, None], 0)
    narrow = by_logits.astype(x.dtype)
    by_table = jax.lax.dot_general(narrow, x, (((0,), (0,)), ((), ())), **exact)
    by_features = jnp.matmul(narrow, table).reshape(rows[0].shape)
    return _Part(loss, hits, by_features, by_table, by_logits.sum(0))
