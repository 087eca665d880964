"""Bidirectional word alignment: do the two directions of attention agree?"""

from typing import NamedTuple

import chex
import jax.numpy as jnp

from amber_jax.types import Array, WeightedSum


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
    # [B, N, L], [B, N, L] -> [B, L, L], 1 where y_j and x_i are of the same pair
    crossing = jnp.einsum("bnq,bns->bqs", tgt, src)
    backward = tgt_to_src * crossing[:, None]
    forward = src_to_tgt * crossing.swapaxes(1, 2)[:, None]
    if renormalize:
        backward = _rows_sum_to_one(backward)
        forward = _rows_sum_to_one(forward)
    # [B, H, L, L], [B, H, L, L] -> [B, L, L], the mean over heads
    agreed = jnp.einsum("bhqs,bhsq->bqs", backward, forward) / backward.shape[1]

    # [B, N, L], [B, L, L] -> [B, N, L]; other pairs' entries are 0
    per_source = jnp.einsum("bnq,bqs->bns", tgt, agreed)
    trace = per_source.sum(-1)  # [B, N]
    shorter = jnp.minimum(src.sum(-1), tgt.sum(-1))
    present = (shorter > 0).astype(jnp.float32)
    loss = (1.0 - trace / jnp.maximum(shorter, 1.0)) * present
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
