"""Packed rows: which token belongs to which pair, side and position.

A row holds several pairs, one after the other, each laid out as
`[CLS] x... [SEP] y... [SEP]`; the two numbers of a span are the tokens of
`[CLS] x... [SEP]` (side 0) and of `y... [SEP]` (side 1). Where more separators than one
stand between the sides, all but the first belong to side 1. For example

    span_lengths  [[3, 2], [2, 0]]          two pairs, the second one a lone text
    token         CLS x SEP y SEP CLS SEP PAD
    pair_ids        1 1   1 1   1   2   2   0
    sides           0 0   0 1   1   0   0   0
    position_ids    0 1   2 3   4   0   1   0
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from amber_jax.types import Array


class Layout(NamedTuple):
    """The pair, side and position of every token, each [B, L] int32."""

    pair_ids: Array  # 1..N inside pairs, 0 on padding
    sides: Array  # 0 for [CLS] x [SEP], 1 for y [SEP], 0 on padding
    position_ids: Array  # 0 at the first token of each pair


def layout(span_lengths: Array, row_length: int) -> Layout:
    """The layout of rows with `span_lengths`: [B, N, 2] int32 -> [B, L]."""
    ends = jnp.cumsum(span_lengths.sum(-1), axis=-1)  # [B, N]
    starts = ends - span_lengths.sum(-1)
    middles = starts + span_lengths[..., 0]
    index = jnp.arange(row_length)[None, :]  # [1, L]
    token = index[..., None]  # [1, L, 1]
    inside = (token >= starts[:, None, :]) & (token < ends[:, None, :])  # [B, L, N]
    real = inside.any(-1)
    start = (inside * starts[:, None, :]).sum(-1)
    middle = (inside * middles[:, None, :]).sum(-1)
    return Layout(
        pair_ids=jnp.where(real, inside.argmax(-1) + 1, 0),
        sides=jnp.where(real & (index >= middle), 1, 0),
        position_ids=jnp.where(real, index - start, 0),
    )


def lone_layout(lengths: Array, row_length: int) -> Layout:
    """The layout of rows of one text each, `lengths` [B] int32 tokens with specials."""
    spans = jnp.stack([lengths, jnp.zeros_like(lengths)], axis=-1)  # [B, 2]
    return layout(spans[:, None], row_length)


def swap_order(
    span_lengths: Array, row_length: int, separators: int = 1
) -> tuple[Array, Array]:
    """The order of the rows' tokens with the sides of every pair exchanged.

    `[CLS] x [SEP] y [SEP]` becomes `[CLS] y [SEP] x [SEP]`: the first token stays
    where it is and the two blocks after it change places. Further separators stay
    between them.

    Args:
        span_lengths: [B, N, 2] int32.
        row_length: L.
        separators: those between the sides of a pair.

    Returns:
        order: [B, L] int32, `swapped = take_along_axis(row, order, 1)`.
        swapped_spans: [B, N, 2] int32, the span lengths of the swapped rows.
    """
    tokens = layout(span_lengths, row_length)
    spans = _per_token(span_lengths, tokens.pair_ids)  # [B, L, 2]
    further = separators - 1
    src_block = jnp.maximum(spans[..., 0] - 1, 0)  # x [SEP], without [CLS]
    tgt_block = jnp.maximum(spans[..., 1] - further, 0)  # y [SEP]
    index = jnp.arange(row_length)[None, :]
    behind_cls = tokens.position_ids - 1  # from 0 at the token after [CLS]
    from_tgt, from_src = behind_cls < tgt_block, behind_cls >= tgt_block + further
    between = src_block - tgt_block
    shift = jnp.where(
        from_tgt,
        src_block + further,
        jnp.where(from_src, -tgt_block - further, between),
    )
    is_first = (tokens.pair_ids == 0) | (tokens.position_ids == 0)
    stays = is_first | (spans[..., 1] == 0)
    order = jnp.where(stays, index, index + shift)
    has_tgt = span_lengths[..., 1] > 0
    src, tgt = span_lengths[..., 0], span_lengths[..., 1]
    swapped = jnp.stack([tgt + 1 - further, src - 1 + further], axis=-1)
    return order, jnp.where(has_tgt[..., None], swapped, span_lengths)


def further_separators(span_lengths: Array, row_length: int, separators: int) -> Array:
    """Which tokens stand between the sides besides the first [SEP], [B, L] bool.

    They are side 1's in passes over a pair, and no part of either side alone.
    """
    tokens = layout(span_lengths, row_length)
    src_span = _per_token(span_lengths, tokens.pair_ids)[..., 0]
    before_tgt = tokens.position_ids < src_span + separators - 1
    return (tokens.sides == 1) & before_tgt


def invert_order(order: Array) -> Array:
    """The permutation [B, L] that undoes `order` [B, L]."""
    return jnp.argsort(order, axis=-1)


def one_hot_pairs(pair_ids: Array, max_pairs: int) -> Array:
    """Whether token l belongs to pair n of its row: [B, L] -> [B, N, L] bool."""
    return pair_ids[:, None, :] == jnp.arange(1, max_pairs + 1)[None, :, None]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["pair_ids", "sides", "position_ids"],
    meta_fields=["directed"],
)
@dataclasses.dataclass(frozen=True)
class Mask:
    """Which tokens a token may attend, by three numbers a token, not one for every two.

    A token attends tokens of its own pair alone, and nothing attends padding.
    """

    pair_ids: Array  # [B, L] int32, as are the next two; see `Layout`
    sides: Array
    position_ids: Array
    directed: bool  # whether only some of them, see `directed_attention`

    def dense(self) -> Array:
        """Whether query token q may attend key token s, [B, L, L] bool."""
        query, key = (
            jax.tree.map(lambda x, axis=axis: jnp.expand_dims(x, axis), self)
            for axis in (2, 1)
        )
        return may_attend(query, key)


def may_attend(query: Mask, key: Mask) -> Array:
    """Whether a query token may attend a key token, bool.

    The tokens' arrays are of any shapes that broadcast to each other.
    """
    allowed = (query.pair_ids == key.pair_ids) & (key.pair_ids > 0)
    if not query.directed:
        return allowed
    # Side 0 stands before all of side 1: then side 1 attends what is before it.
    query_position, key_position = (
        jnp.where(token.sides == 0, 0, token.position_ids + 1) for token in (query, key)
    )
    return allowed & ((key.sides == 0) | (key_position < query_position))


def full_attention(layout: Layout) -> Mask:
    """The mask of passes over a whole pair.

    Every token attends every token of its own pair. Padding attends nothing.
    """
    return Mask(*layout, directed=False)


def directed_attention(layout: Layout) -> Mask:
    """The mask of the word-alignment passes.

    Side 0 attends side 0. Token i of side 1 attends side 0 and the tokens of side 1
    strictly before it; its own identity reaches it through the residual stream.

    Source: Hu et al. 2021, Figure 1(b).
    """
    return Mask(*layout, directed=True)


def _per_token(per_pair: Array, pair_ids: Array) -> Array:
    """The numbers of each token's pair, 0 on padding: [B, N, 2] -> [B, L, 2]."""
    index = jnp.maximum(pair_ids - 1, 0)[..., None]
    return jnp.take_along_axis(per_pair, index, axis=1) * (pair_ids > 0)[..., None]
