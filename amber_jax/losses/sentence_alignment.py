"""Contrastive sentence alignment over the candidates of the global batch."""

import chex
import jax.numpy as jnp
from jax.nn import logsumexp

from amber_jax.types import Array, WeightedSum

_EMPTY_SCORE = -1e9


def similarity(
    queries: Array, candidates: Array, *, normalize: bool, scale: float
) -> Array:
    """[Q, C] float32 dot products, or cosines if `normalize`, times `scale`."""
    if normalize:
        queries, candidates = _unit(queries), _unit(candidates)
    return scale * jnp.einsum("qd,cd->qc", queries, candidates)


def rank_translations(
    queries: Array,
    candidates: Array,
    positives: Array,
    *,
    query_weights: Array,
    candidate_weights: Array,
    normalize: bool,
    scale: float,
    margin: float,
) -> tuple[WeightedSum, WeightedSum]:
    """Loss and accuracy of ranking each query's translation first.

    The paper's form is `normalize=False, scale=1, margin=0`: a softmax over plain dot
    products with every candidate of the batch, the positive included.

    Args:
        queries: [Q, D] float32, sentence embeddings of this device.
        candidates: [C, D] float32, of every device, C >= Q.
        positives: [Q] int32, the index of the candidate that translates query q.
        query_weights: [Q] float32, 0 on empty slots.
        candidate_weights: [C] float32, 0 on empty slots, which never compete.
        normalize: whether vectors are scaled to length one.
        scale: multiplies the similarities; dimensionless (1 / temperature).
        margin: taken off the positive's similarity before scaling.

    Returns:
        (loss, hits): WeightedSums in nats and in sentences ranked first; the weight
        of both is the number of queries.

    Source: Hu et al. 2021, L_SA; margin as in Yang et al. 2019, arXiv 1902.08564.
    """
    chex.assert_equal_shape_suffix([queries, candidates], 1)
    scores = similarity(queries, candidates, normalize=normalize, scale=scale)
    is_positive = jnp.arange(candidates.shape[0])[None, :] == positives[:, None]
    scores = jnp.where(is_positive, scores - scale * margin, scores)  # [Q, C]
    scores = jnp.where(candidate_weights[None, :] > 0, scores, _EMPTY_SCORE)
    positive_scores = jnp.take_along_axis(scores, positives[:, None], axis=1)[:, 0]
    losses = logsumexp(scores, axis=-1) - positive_scores  # [Q]
    hits = (scores.argmax(-1) == positives) * query_weights
    return (
        WeightedSum((losses * query_weights).sum(), query_weights.sum()),
        WeightedSum(hits.sum(), query_weights.sum()),
    )


def _unit(x: Array) -> Array:
    # The tiny constant keeps the gradient of an empty slot's zero vector finite.
    return x / jnp.sqrt((x * x).sum(-1, keepdims=True) + 1e-12)
