"""Masked language modelling, on one language (MLM) or on a pair (TLM)."""

import chex
import jax.numpy as jnp
from jax.nn import logsumexp

from amber_jax.types import Array, WeightedSum


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Returns the negative log-likelihood of `labels`, [...] float32, in nats.

    Args:
        logits: [..., C], unnormalised.
        labels: [...] int32 in [0, C).
    """
    logits = logits.astype(jnp.float32)
    picked = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return logsumexp(logits, axis=-1) - picked


def masked_lm(mlm_logits: Array, mlm_targets: Array, mlm_weights: Array) -> WeightedSum:
    """Cross entropy of the hidden tokens given what is left of the row.

    Args:
        mlm_logits: [B, P, V].
        mlm_targets: [B, P] int32.
        mlm_weights: [B, P] float32, 0 on filler slots.

    Returns:
        WeightedSum in nats; the weight is the number of predicted tokens.

    Source: Hu et al. 2021, L_MLM; Devlin et al. 2019.
    """
    chex.assert_rank(mlm_logits, 3)
    chex.assert_equal_shape([mlm_targets, mlm_weights])
    losses = cross_entropy(mlm_logits, mlm_targets)
    return WeightedSum((losses * mlm_weights).sum(), mlm_weights.sum())


def masked_lm_hits(
    mlm_logits: Array, mlm_targets: Array, mlm_weights: Array
) -> WeightedSum:
    """How many hidden tokens the most likely word gets right; arguments as above."""
    hits = (mlm_logits.argmax(-1) == mlm_targets) * mlm_weights
    return WeightedSum(hits.sum(), mlm_weights.sum())
