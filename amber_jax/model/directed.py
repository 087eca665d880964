"""Passes 2 and 3: every sentence read alone, and by the words of its translation.

    pass 2   [x; y]   x sees x; y_i sees x and y_<i
    pass 3   [y; x]   the same, sides exchanged

Of the last layer only two things are read: the first side of either pass, and the
attention of the second side. So the two passes are one batch up to there; then the
first sides come together in one row of the batch's own length, which alone goes
through the rest of the layer. It writes its probabilities to memory whether they are
read or not.
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
    lowest_layers,
)
from amber_jax.model.kernels.dropout import row_seeds
from amber_jax.types import Array, Params


class Directed(NamedTuple):
    """What both passes give.

    Of M tokens: the L of the row and, if both [CLS] were wanted, N of the second sides.
    """

    layout: rows.Layout  # each [B, M]
    token_ids: Array  # [B, M]
    hidden_states: Array  # [B, M, D], each side as the encoder reads it alone
    tgt_to_src: Array  # A_{y->x} of the last layer, [B, H, L, L] of the same dtype
    src_to_tgt: Array  # A_{x->y}, in the token order of pass 2 too; rows are queries


def directed_passes(
    config: EncoderConfig,
    encoder_params: Params,
    pair: Mapping[str, Array],
    *,
    offsets: Array,
    dropout_key: Array | None,
    both_cls: bool,
    separators: int = 1,
) -> Directed:
    """The result of passes 2 and 3 over packed pairs.

    Args:
        config: the encoder's sizes.
        encoder_params: its parameters (`params["encoder"]`).
        pair: token_ids [B, L], span_lengths [B, N, 2], and for dropout row_ids.
        offsets: [B, N] int32, added to the positions of each pair's second side.
        dropout_key: of both passes in this step; None for no dropout.
        both_cls: whether the [CLS] before y in pass 3 is wanted, too.
        separators: those between the sides of a pair.
    """
    token_ids, spans = pair["token_ids"], pair["span_lengths"]
    length = token_ids.shape[1]

    # Both passes are one batch, each row beside its swapped self, so that they are one
    # program and every device keeps its own rows: [B, L], [B, L] -> [2 B, L].
    order, swapped_spans = rows.swap_order(spans, length, separators)
    both_ids = _interleave(token_ids, _take(token_ids, order))
    layout = rows.layout(_interleave(spans, swapped_spans), length)
    shift = _on_second_sides(_interleave(offsets, offsets), layout)  # [2 B, L]
    lower, lower_params = lowest_layers(config, encoder_params, config.num_layers - 1)
    row_dropout, both_dropout = _seeds(dropout_key, pair)
    x = apply(
        lower,
        lower_params,
        both_ids,
        layout.sides,
        layout.position_ids + shift,
        rows.directed_attention(layout),
        seeds=both_dropout,
    ).hidden_states  # [2 B, L, D]

    # Pass 3's tokens return to pass 2's order, on which attention does not depend.
    unchanged = jnp.broadcast_to(jnp.arange(length), order.shape)
    restored = _interleave(unchanged, rows.invert_order(order))
    layout = rows.Layout(*(_take(field, restored) for field in layout))
    x = _take(x, restored)

    first_sides, pair_ids = _first_sides(spans, length, separators, both_cls=both_cls)

    def select(x: Array) -> Array:
        """The first sides: [2 B, L, ...] -> [B, 2 L, ...] -> [B, M, ...]."""
        return _take(x.reshape(-1, 2 * length, *x.shape[2:]), first_sides)

    def last_layer(params: Params, x: Array) -> tuple[Array, Array]:
        return apply(
            Layer(config),
            params,
            x,
            rows.directed_attention(layout),
            select,
            layer_seeds(both_dropout, config.num_layers),
            layer_seeds(row_dropout, config.num_layers),
            method=Layer.selected_with_probs,
        )

    if config.remat:
        last_layer = jax.checkpoint(last_layer)
    last_params = jax.tree.map(lambda x: x[-1], encoder_params["layers"]["layer"])
    # [2 B, L, D] -> [B, M, D], [2 B, H, L, L]
    hidden_states, probs = last_layer(last_params, x)
    return Directed(
        layout=rows.Layout(
            pair_ids, first_sides // length, select(layout.position_ids)
        ),
        token_ids=_take(token_ids, first_sides % length),
        hidden_states=hidden_states,
        tgt_to_src=probs[0::2],
        src_to_tgt=probs[1::2],
    )


def _seeds(
    key: Array | None, pair: Mapping[str, Array]
) -> tuple[Array | None, Array | None]:
    """The seeds of pass 2's rows, [B, 2], and of both passes', [2 B, 2]."""
    if key is None:
        return None, None
    second, third = (row_seeds(k, pair["row_ids"]) for k in jax.random.split(key))
    return second, _interleave(second, third)


def _first_sides(
    spans: Array, length: int, separators: int, *, both_cls: bool
) -> tuple[Array, Array]:
    """Where the first sides stand in a row of 2 L tokens: pass 2's, then pass 3's.

    Token indices and the pairs they belong to (0: none), both [B, M] int32.
    """
    layout = rows.layout(spans, length)
    # An x stands in the row, a y in its swapped self behind it.
    tokens = jnp.arange(length)[None] + length * layout.sides  # [B, L]
    of_pairs = layout.pair_ids
    if separators > 1:
        further = rows.further_separators(spans, length, separators)
        of_pairs = jnp.where(further, 0, of_pairs)
    if not both_cls:
        return tokens, of_pairs
    sizes = spans.sum(-1)
    starts = jnp.minimum(jnp.cumsum(sizes, axis=-1) - sizes, length - 1)  # [B, N]
    pair_ids = jnp.arange(1, spans.shape[1] + 1)[None] * (spans[..., 1] > 0)  # [B, N]
    return (
        jnp.concatenate([tokens, length + starts], axis=1),
        jnp.concatenate([of_pairs, pair_ids], axis=1),
    )


def _take(x: Array, index: Array) -> Array:
    """The tokens `index` [B, M] of x: [B, L, ...] -> [B, M, ...]."""
    return jnp.take_along_axis(x, index.reshape(*index.shape, *[1] * (x.ndim - 2)), 1)


def _interleave(even: Array, odd: Array) -> Array:
    """The rows of both arrays in turns: [B, ...], [B, ...] -> [2 B, ...]."""
    return jnp.stack([even, odd], axis=1).reshape(-1, *even.shape[1:])


def _on_second_sides(offsets: Array, layout: rows.Layout) -> Array:
    """`offsets` at the tokens of each pair's second side: [B, N] -> [B, L]."""
    index = jnp.maximum(layout.pair_ids - 1, 0)
    return jnp.take_along_axis(offsets, index, axis=1) * layout.sides
