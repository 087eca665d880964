"""Word alignment: do the two directions of attention, or of similarity, agree?"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from amber_jax.types import Array, WeightedSum

_NO_CHOICE = -1e9  # score of a token that is not of the other side


class Agreement(NamedTuple):
    """The word-alignment loss, and shares that reveal its trivial minima."""

    loss: WeightedSum  # per pair, in [0, 1]
    column_share: WeightedSum  # of a pair's trace, on its heaviest source token
    diagonal_share: WeightedSum  # of a pair's trace, on ranks at most one apart


def word_alignment(
    tgt_to_src: Array,
    src_to_tgt: Array,
    src_members: Array,
    tgt_members: Array,
    *,
    renormalize: bool,
) -> Agreement:
    """One minus the normalized agreement of the two attention directions.

    For a pair with contents x and y and head h, with both matrices over the tokens of
    the row, `T_h = sum_ij A_{y->x}[j, i] A_{x->y}[i, j]`; the loss of the pair is
    `1 - mean_h T_h / min(|x|, |y|)`.

    The two shares show what the loss has learned, for it has trivial minima: all target
    tokens attending one source token that attends them (column), and position i
    attending position i (diagonal).

    Args:
        tgt_to_src: [B, H, L, L], rows are queries; only y -> x entries are used.
        src_to_tgt: [B, H, L, L], rows are queries; only x -> y entries are used, with
            tokens in the same order as in `tgt_to_src`.
        src_members: [B, N, L] bool, the tokens of pair n's x that count.
        tgt_members: [B, N, L] bool, the same for y.
        renormalize: whether each token's attention to the other side's counted tokens
            is scaled to sum to one first.

    Returns:
        Agreement; the weight of the loss is the number of pairs with both sides.

    Source: Hu et al. 2021, L_WA, in the coordinates in which the product is defined.
    """
    chex.assert_equal_shape([tgt_to_src, src_to_tgt])
    chex.assert_equal_shape([src_members, tgt_members])
    src = src_members.astype(jnp.float32)
    tgt = tgt_members.astype(jnp.float32)
    crossing = _crossing(src, tgt)
    backward = tgt_to_src * crossing[:, None]
    forward = src_to_tgt * crossing.swapaxes(1, 2)[:, None]
    if renormalize:
        backward = _rows_sum_to_one(backward)
        forward = _rows_sum_to_one(forward)
    # [B, H, L, L], [B, H, L, L] -> [B, L, L], the mean over heads
    agreed = jnp.einsum("bhqs,bhsq->bqs", backward, forward) / backward.shape[1]

    shorter = jnp.minimum(src.sum(-1), tgt.sum(-1))
    return _agreement(agreed, src, tgt, most=shorter)


def mutual_matches(
    similarities: Array, src_members: Array, tgt_members: Array
) -> Agreement:
    """One minus the probability of the matches that both directions choose.

    Two tokens match if each is the likeliest of its side for the other. With `S_{x->y}`
    and `S_{y->x}`, the softmax of a pair's similarities over the other side, the loss
    of the pair is one minus the mean over its matches of
    `(S_{x->y}[i, j] + S_{y->x}[j, i]) / 2`: what the encoder believes already, it is to
    believe more firmly. Which tokens match is taken as it is, without a gradient.

    Args:
        similarities: [B, L, L] float32, dot products of the tokens of a row, each side
            encoded alone.
        src_members: [B, N, L] bool, the tokens of pair n's x that count.
        tgt_members: [B, N, L] bool, the same for y.

    Returns:
        Agreement; the weight of the loss is the number of pairs with both sides.

    Source: Dou and Neubig 2021 (awesome-align), the self-training objective; matches
    as in Jalili Sabet et al. 2020 (SimAlign), "argmax", for a threshold lets all words
    match all words, which costs nothing.
    """
    chex.assert_equal_shape([src_members, tgt_members])
    src = src_members.astype(jnp.float32)
    tgt = tgt_members.astype(jnp.float32)
    crossing = _crossing(src, tgt)
    scores = jnp.where(crossing > 0, similarities, _NO_CHOICE)  # [B, L y, L x]
    backward = jax.nn.softmax(scores, axis=2)
    forward = jax.nn.softmax(scores, axis=1)
    chosen = (scores == scores.max(2, keepdims=True)) & (
        scores == scores.max(1, keepdims=True)
    )
    matched = crossing * chosen
    matches = jnp.einsum("bnq,bqs->bn", tgt, matched)
    agreed = matched * (forward + backward) / 2
    return _agreement(agreed, src, tgt, most=matches)


def _crossing(src: Array, tgt: Array) -> Array:
    """1 where y_j and x_i are of the same pair: 2 x [B, N, L] -> [B, L y, L x]."""
    return jnp.einsum("bnq,bns->bqs", tgt, src)


def _agreement(agreed: Array, src: Array, tgt: Array, *, most: Array) -> Agreement:
    """One minus the share of the most that a pair can agree, [B, N].

    `agreed` [B, L y, L x] is 0 between tokens of different pairs.
    """
    # [B, N, L], [B, L, L] -> [B, N, L]
    per_source = jnp.einsum("bnq,bqs->bns", tgt, agreed)
    trace = per_source.sum(-1)  # [B, N]
    present = (jnp.minimum(src.sum(-1), tgt.sum(-1)) > 0).astype(jnp.float32)
    loss = (1.0 - trace / jnp.maximum(most, 1.0)) * present
    return Agreement(
        loss=WeightedSum(loss.sum(), present.sum()),
        column_share=_share(per_source.max(-1), trace, present),
        diagonal_share=_share(_near_diagonal(agreed, src, tgt), trace, present),
    )


def _rows_sum_to_one(x: Array) -> Array:
    return x / jnp.maximum(x.sum(-1, keepdims=True), 1e-9)


def _share(part: Array, trace: Array, present: Array) -> WeightedSum:
    share = part / jnp.maximum(trace, 1e-9) * present
    return WeightedSum(share.sum(), present.sum())


def _near_diagonal(agreed: Array, src: Array, tgt: Array) -> Array:
    """Agreement of tokens whose ranks in their sides differ by at most one, [B, N]."""
    src_rank = (src.cumsum(-1) * src).sum(1)  # [B, L], 1 for the first counted token
    tgt_rank = (tgt.cumsum(-1) * tgt).sum(1)
    near = jnp.abs(tgt_rank[:, :, None] - src_rank[:, None, :]) <= 1
    return jnp.einsum("bnq,bqs->bn", tgt, agreed * near)
