"""Passes 2 and 3: every sentence read alone, and by the words of its translation.

    pass 2   [x; y]   x sees x; y_i sees x and y_<i
    pass 3   [y; x]   the same, sides exchanged

Of the last layer only two things are read: the first side of either pass, and what the
second side attends. So the two passes are one batch up to there; then the first sides
come together in one row of the batch's own length, which alone goes through the rest
of the layer.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from amber_jax.model import rows
from amber_jax.model.encoder import (
    EncoderConfig,
    Layer,
    apply,
    layer_seeds,
    without_last_layer,
)
from amber_jax.model.kernels.dropout import row_seeds
from amber_jax.types import Array, Params


class Directed(NamedTuple):
    """What both passes give.

    Of M tokens: the L of the row and, if both [CLS] were wanted, N of the second sides.
    """

    place: rows.Layout  # each [B, M]
    token_ids: Array  # [B, M]
    hidden_states: Array  # [B, M, D], each side as the encoder reads it alone
    tgt_to_src: Array  # A_{y->x} of the last layer, [B, H, L, L] of the same dtype
    src_to_tgt: Array  # A_{x->y}, in the places of pass 2 as well; rows are queries


def directed_passes(
    config: EncoderConfig,
    encoder_params: Params,
    pair: Mapping[str, Array],
    *,
    offsets: Array,
    dropout_key: Array | None,
    both_cls: bool,
) -> Directed:
    """Returns what passes 2 and 3 make of packed pairs.

    The last layer writes its probabilities to memory whether they are read or not.

    Args:
        config: the encoder's sizes.
        encoder_params: its parameters (`params["encoder"]`).
        pair: token_ids [B, L], span_lengths [B, N, 2], and for dropout row_ids.
        offsets: [B, N] int32, added to the positions of each pair's second side.
        dropout_key: of both passes in this step; None for no dropout.
        both_cls: whether the [CLS] that stands before y in pass 3 is wanted, too.
    """
    token_ids, spans = pair["token_ids"], pair["span_lengths"]
    length = token_ids.shape[1]
    order, swapped_spans = rows.swap_order(spans, length)
    # Both passes are one batch [2 B, ...], each row beside its swapped self, so that
    # they are one program and every device keeps its own rows.
    ids = _side_by_side(token_ids, jnp.take_along_axis(token_ids, order, axis=1))
    place = rows.layout(_side_by_side(spans, swapped_spans), length)
    moved = _second_side(_side_by_side(offsets, offsets), place)
    below, params_below, params_last = without_last_layer(config, encoder_params)
    straight_seeds, seeds = _seeds(dropout_key, pair)
    x = apply(
        below,
        params_below,
        ids,
        place.sides,
        place.position_ids + moved,
        rows.directed_attention(place),
        seeds=seeds,
    ).hidden_states

    # Pass 3 returns to the places of pass 2; what a token attends does not mind.
    straight = jnp.broadcast_to(jnp.arange(length), order.shape)
    back = _side_by_side(straight, rows.invert_order(order))
    place = rows.Layout(*(_take(one, back) for one in place))
    x = _take(x, back)

    chosen, pair_ids = _first_sides(spans, length, both_cls=both_cls)

    def choose(x: Array) -> Array:
        """Returns [B, M, ...] from [2 B, L, ...]."""
        return _take(x.reshape(-1, 2 * length, *x.shape[2:]), chosen)

    def last_layer(params: Params, x: Array) -> tuple[Array, Array]:
        return apply(
            Layer(config),
            params,
            x,
            rows.directed_attention(place),
            choose,
            layer_seeds(seeds, config.num_layers),
            layer_seeds(straight_seeds, config.num_layers),
            method=Layer.chosen_with_probs,
        )

    if config.remat:
        last_layer = jax.checkpoint(last_layer)
    hidden_states, probs = last_layer(params_last, x)
    return Directed(
        place=rows.Layout(pair_ids, chosen // length, choose(place.position_ids)),
        token_ids=_take(token_ids, chosen % length),
        hidden_states=hidden_states,
        tgt_to_src=probs[0::2],
        src_to_tgt=probs[1::2],
    )


def _seeds(
    key: Array | None, pair: Mapping[str, Array]
) -> tuple[Array | None, Array | None]:
    """Returns the seeds of pass 2's rows, [B, 2], and of both passes', [2 B, 2]."""
    if key is None:
        return None, None
    one, other = (row_seeds(k, pair["row_ids"]) for k in jax.random.split(key))
    return one, _side_by_side(one, other)


def _first_sides(spans: Array, length: int, *, both_cls: bool) -> tuple[Array, Array]:
    """Returns where the first sides stand in a row and, behind it, its swapped self.

    Places and the pairs they belong to (0: none), both [B, M] int32.
    """
    own = rows.layout(spans, length)
    chosen = jnp.arange(length)[None] + length * own.sides
    if not both_cls:
        return chosen, own.pair_ids
    sizes = spans.sum(-1)
    starts = jnp.minimum(jnp.cumsum(sizes, axis=-1) - sizes, length - 1)  # [B, N]
    numbers = jnp.arange(1, spans.shape[1] + 1)[None] * (spans[..., 1] > 0)
    return (
        jnp.concatenate([chosen, length + starts], axis=1),
        jnp.concatenate([own.pair_ids, numbers], axis=1),
    )


def _take(x: Array, index: Array) -> Array:
    """Returns x [B, L, ...] at the places `index` [B, M], [B, M, ...]."""
    return jnp.take_along_axis(x, index.reshape(*index.shape, *[1] * (x.ndim - 2)), 1)


def _side_by_side(one: Array, other: Array) -> Array:
    """Returns the rows of both, [2 B, ...], in turns."""
    return jnp.stack([one, other], axis=1).reshape(-1, *one.shape[1:])


def _second_side(offsets: Array, place: rows.Layout) -> Array:
    """Returns `offsets` [B, N] at the tokens of each pair's second side, [B, L]."""
    index = jnp.maximum(place.pair_ids - 1, 0)
    return jnp.take_along_axis(offsets, index, axis=1) * place.sides
