"""Packed rows: which token belongs to which pair, side and position.

A row holds several pairs, one after the other, each laid out as
`[CLS] x... [SEP] y... [SEP]`; the two numbers of a span are the tokens of
`[CLS] x... [SEP]` (side 0) and of `y... [SEP]` (side 1). For example

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
    """Where every token of a packed row stands, each [B, L] int32."""

    pair_ids: Array  # 1..N inside pairs, 0 on padding
    sides: Array  # 0 for [CLS] x [SEP], 1 for y [SEP], 0 on padding
    position_ids: Array  # 0 at the first token of each pair


def layout(span_lengths: Array, row_length: int) -> Layout:
    """Returns the layout that `span_lengths` [B, N, 2] int32 describe."""
    ends = jnp.cumsum(span_lengths.sum(-1), axis=-1)  # [B, N]
    starts = ends - span_lengths.sum(-1)
    middles = starts + span_lengths[..., 0]
    index = jnp.arange(row_length)[None, :]  # [1, L]
    here = index[..., None]
    inside = (here >= starts[:, None, :]) & (here < ends[:, None, :])  # [B, L, N]
    real = inside.any(-1)
    start = (inside * starts[:, None, :]).sum(-1)
    middle = (inside * middles[:, None, :]).sum(-1)
    return Layout(
        pair_ids=jnp.where(real, inside.argmax(-1) + 1, 0),
        sides=jnp.where(real & (index >= middle), 1, 0),
        position_ids=jnp.where(real, index - start, 0),
    )


def swap_order(span_lengths: Array, row_length: int) -> tuple[Array, Array]:
    """Returns the rows' order with the sides of every pair exchanged.

    `[CLS] x [SEP] y [SEP]` becomes `[CLS] y [SEP] x [SEP]`: the first token stays
    where it is and the two blocks after it change places.

    Returns:
        order: [B, L] int32, `swapped = take_along_axis(row, order, 1)`.
        swapped_spans: [B, N, 2] int32, the span lengths of the swapped rows.
    """
    place = layout(span_lengths, row_length)
    spans = _per_token(span_lengths, place.pair_ids)  # [B, L, 2]
    src_block = jnp.maximum(spans[..., 0] - 1, 0)  # x [SEP], without [CLS]
    tgt_block = spans[..., 1]  # y [SEP]
    index = jnp.arange(row_length)[None, :]
    offset = place.position_ids - 1  # place behind [CLS]
    moved = jnp.where(offset < tgt_block, src_block, -tgt_block)
    stays = (place.pair_ids == 0) | (place.position_ids == 0)
    order = jnp.where(stays, index, index + moved)
    has_tgt = span_lengths[..., 1] > 0
    swapped = jnp.stack([span_lengths[..., 1] + 1, span_lengths[..., 0] - 1], axis=-1)
    return order, jnp.where(has_tgt[..., None], swapped, span_lengths)


def invert_order(order: Array) -> Array:
    """Returns the permutation [B, L] that undoes `order` [B, L]."""
    return jnp.argsort(order, axis=-1)


def one_hot_pairs(pair_ids: Array, max_pairs: int) -> Array:
    """Returns [B, N, L] bool: whether token l belongs to pair n of its row."""
    return pair_ids[:, None, :] == jnp.arange(1, max_pairs + 1)[None, :, None]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["pair_ids", "sides", "position_ids"],
    meta_fields=["directed"],
)
@dataclasses.dataclass(frozen=True)
class Mask:
    """Which tokens a token may attend, told of every token and not of every two.

    Only tokens of its own pair, and padding none.
    """

    pair_ids: Array  # [B, L] int32, as are the next two; see `Layout`
    sides: Array
    position_ids: Array
    directed: bool  # whether not all of them, see `directed_attention`

    def dense(self) -> Array:
        """Returns [B, L, L] bool, whether query token q may attend key token s."""
        query, key = (
            jax.tree.map(lambda x, axis=axis: jnp.expand_dims(x, axis), self)
            for axis in (2, 1)
        )
        return may_attend(query, key)


def may_attend(query: Mask, key: Mask) -> Array:
    """Returns whether a query token may attend a key token, bool.

    The tokens' arrays are of any shapes that broadcast to each other.
    """
    allowed = (query.pair_ids == key.pair_ids) & (key.pair_ids > 0)
    if not query.directed:
        return allowed
    # Side 0 stands before all of side 1: then side 1 attends what is before it.
    places = (
        jnp.where(token.sides == 0, 0, token.position_ids + 1) for token in (query, key)
    )
    query_place, key_place = places
    return allowed & ((key.sides == 0) | (key_place < query_place))


def full_attention(place: Layout) -> Mask:
    """Returns the mask of passes over a whole pair.

    Every token attends every token of its own pair. Padding attends nothing.
    """
    return Mask(*place, directed=False)


def directed_attention(place: Layout) -> Mask:
    """Returns the mask of the word-alignment passes.

    Side 0 attends side 0. Token i of side 1 attends side 0 and the tokens of side 1
    strictly before it; its own identity reaches it through the residual stream.

    Source: Hu et al. 2021, Figure 1(b).
    """
    return Mask(*place, directed=True)


def _per_token(per_pair: Array, pair_ids: Array) -> Array:
    """Spreads [B, N, 2] over the tokens of each pair: [B, L, 2]."""
    index = jnp.maximum(pair_ids - 1, 0)[..., None]
    return jnp.take_along_axis(per_pair, index, axis=1) * (pair_ids > 0)[..., None]
