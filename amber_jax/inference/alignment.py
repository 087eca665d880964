"""How strongly the pieces of sentence pairs choose each other, one pair or many.

Two sources: the last layer's attention between the sides, in the directed passes of
`pretraining/objectives`, and the similarity of contextual vectors of sides encoded
alone.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.corpora.packing import Row
from amber_jax.data.labeled import cut_longest
from amber_jax.inference.devices import (
    divided_rows,
    holders,
    on_all_devices,
    tokens_at_once,
)
from amber_jax.inference.piece_similarity import DOT, Similarity, similarities
from amber_jax.inference.row_batches import row_batches
from amber_jax.model import rows
from amber_jax.model.directed import directed_passes
from amber_jax.model.encoder import EncoderConfig, lowest_layers
from amber_jax.tokenization.tokenizer import SpecialTokens, Tokenizer
from amber_jax.types import Array, Params

_BATCH_TOKENS = 8192
_WINDOW = 4096  # pairs packed together

PiecePair = tuple[list[int], list[int]]
Matrices = Callable[[Params, Array, Array], Array]
"""A compiled (params, token_ids [B, L], span_lengths [B, N, 2]) -> [K, B, L, L]
float32, one matrix for each of K layers; its row i scores token i of a side against
the tokens of the other side."""


class Directions(NamedTuple):
    """How strongly the pieces of a pair choose each other, from 0 to 1."""

    src_to_tgt: np.ndarray  # [X, Y] float32, source pieces choose
    tgt_to_src: np.ndarray  # [Y, X] float32, target pieces choose


Aligner = Callable[[Params, Sequence[PiecePair]], list[Directions]]
LayerAligner = Callable[[Params, Sequence[PiecePair]], list[list[Directions]]]
"""Like an `Aligner`, but gives each pair a list, the directions by layer."""


def build_aligner(
    config: EncoderConfig,
    special: SpecialTokens,
    *,
    method: str,
    layer: int,
    similarity: Similarity = DOT,
    prompt: Sequence[int] = (),
) -> Aligner:
    """A function `(params, pairs) -> directions` of pairs of piece ids.

    "attention" is the last layer's, mean over heads, scaled to sum to one over the
    other side's pieces; "similarity" compares a layer's vectors, each side encoded
    alone. Special tokens are left out of both.

    Pairs are packed into rows of few lengths; the result of a pair does not depend on
    the others. Both sides of a pair must have pieces, and fit the model's positions:
    see `fitted`.

    Args:
        config: the encoder's configuration.
        special: the tokenizer's special tokens.
        method: "attention" or "similarity".
        layer: of "similarity": 0 the embeddings, n the output of layer n, -1 the last.
        similarity: of "similarity": how two vectors are compared.
        prompt: of "similarity": pieces that stand before each side and are left out of
            the result.

    Source: of the similarity, Dou and Neubig 2021 (awesome-align).
    """
    if method == "attention":
        matrices = _attention(config, special.separators)
        by_layer = _layer_aligner(matrices, special, _as_pair, _unit_sums)
    else:
        by_layer = _similarity_aligner(config, special, similarity, prompt, layer)
    return lambda params, pairs: [only for (only,) in by_layer(params, pairs)]


def build_layer_aligner(
    config: EncoderConfig,
    special: SpecialTokens,
    *,
    similarity: Similarity,
    prompt: Sequence[int] = (),
) -> LayerAligner:
    """Like a `build_aligner` of "similarity" for all layers at once, from 0 upward."""
    return _similarity_aligner(config, special, similarity, prompt, None)


def _similarity_aligner(
    config: EncoderConfig,
    special: SpecialTokens,
    similarity: Similarity,
    prompt: Sequence[int],
    layer: int | None,
) -> LayerAligner:
    skipped = len(prompt)

    def as_lone(pair: PiecePair) -> Row:
        """The sides as two lone texts, which do not attend each other in a row."""
        return [([*prompt, *side], []) for side in pair]

    def choices(products: np.ndarray) -> np.ndarray:
        return similarity.choices(products[skipped:, skipped:])

    matrices = _products(config, similarity, layer, prompt_length=skipped)
    return _layer_aligner(matrices, special, as_lone, choices)


def _layer_aligner(
    matrices: Matrices,
    special: SpecialTokens,
    as_texts: Callable[[PiecePair], Row],
    normalized: Callable[[np.ndarray], np.ndarray],
) -> LayerAligner:
    def directions(
        params: Params, pairs: Sequence[PiecePair]
    ) -> list[list[Directions]]:
        return [
            [Directions(*map(normalized, both)) for both in zip(*blocks, strict=True)]
            for begin in range(0, len(pairs), _WINDOW)
            for blocks in _blocks(
                matrices,
                params,
                [as_texts(pair) for pair in pairs[begin : begin + _WINDOW]],
                special,
            )
        ]

    return directions


def _as_pair(pair: PiecePair) -> Row:
    return [pair]


def _unit_sums(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(x.sum(1, keepdims=True), 1e-9)


def aligning_params(params: Params) -> Params:
    """What an aligner takes of a model's parameters, on all local devices.

    It takes those of one device as well.
    """
    return on_all_devices({"encoder": params["encoder"]})


def fitted(
    pair: PiecePair,
    max_positions: int,
    *,
    method: str,
    separators: int = 1,
    prompt_length: int = 0,
) -> PiecePair:
    """The pair, its sides cut at their ends to the model's positions.

    For "attention" both sides share the positions, and the longer one is cut first;
    for "similarity" each side has all of them, but for its prompt's.
    """
    src, tgt = pair
    if method == "attention":  # [CLS] x [SEP] y [SEP]
        return cut_longest(src, tgt, max_positions - 2 - separators)
    longest = max_positions - 2 - prompt_length
    return src[:longest], tgt[:longest]


def _attention(config: EncoderConfig, separators: int) -> Matrices:
    """A_{x->y} in the rows of x and A_{y->x} in those of y, means over heads.

    Of rows that hold pairs `_as_pair`.
    """

    @jax.jit
    def matrices(params: Params, token_ids: Array, span_lengths: Array) -> Array:
        directed = directed_passes(
            config,
            params["encoder"],
            {"token_ids": token_ids, "span_lengths": span_lengths},
            offsets=jnp.zeros(span_lengths.shape[:2], jnp.int32),
            dropout_key=None,
            both_cls=False,
            separators=separators,
        )
        is_tgt = directed.layout.sides[:, :, None] == 1
        attention = jnp.where(
            is_tgt, directed.tgt_to_src.mean(1), directed.src_to_tgt.mean(1)
        )
        return attention[None]

    return matrices


def _products(
    config: EncoderConfig,
    similarity: Similarity,
    layer: int | None,
    *,
    prompt_length: int = 0,
) -> Matrices:
    """The similarities of a layer's vectors; without a layer, of all from 0 upward.

    Of rows that hold the sides of pairs as lone texts.
    """
    depth = config.num_layers if layer in (-1, None) else layer

    @jax.jit
    def matrices(params: Params, token_ids: Array, span_lengths: Array) -> Array:
        layout = rows.layout(span_lengths, token_ids.shape[1])
        encoder, encoder_params = lowest_layers(config, params["encoder"], depth)

        def products(states: Array) -> Array:
            return similarities(
                states, layout.pair_ids, similarity, prompt_length=prompt_length
            )

        output = encoder.apply(
            {"params": encoder_params},
            token_ids,
            layout.sides,
            layout.position_ids,
            rows.full_attention(layout),
            readout=products if layer is None else None,
        )
        if layer is None:
            return output.readouts
        return products(output.hidden_states)[None]

    return matrices


def _blocks(
    matrices: Matrices, params: Params, pairs: Sequence[Row], special: SpecialTokens
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The [K, X, Y] and the [K, Y, X] part of each pair, without special tokens."""
    blocks: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    devices = holders(params)
    tokens = tokens_at_once(devices[0], most=_BATCH_TOKENS) * len(devices)
    for token_ids, span_lengths, indices in row_batches(
        pairs, special, tokens=tokens, multiple=len(devices)
    ):
        with divided_rows(params) as divided:
            inputs = divided(token_ids), divided(span_lengths)
            batch = np.asarray(matrices(params, *inputs))
        sides = _sides(span_lengths, special.separators)
        for index, (row, src, tgt) in zip(indices, sides, strict=True):
            blocks[index] = batch[:, row, src, tgt], batch[:, row, tgt, src]
    return [blocks[index] for index in range(len(pairs))]


def _sides(
    span_lengths: np.ndarray, separators: int
) -> Iterator[tuple[int, slice, slice]]:
    """Yields the row index of every pair, and the tokens of its sides' pieces there."""
    for row, row_spans in enumerate(span_lengths.tolist()):
        sides, start = [], 0
        for first, second in row_spans:
            if first:
                sides.append(slice(start + 1, start + first - 1))
                start += first
            if second:
                sides.append(slice(start + separators - 1, start + second - 1))
                start += second
        for src, tgt in zip(sides[::2], sides[1::2], strict=True):
            yield row, src, tgt


class PairView(NamedTuple):
    """One sentence pair, piece by piece; X and Y count pieces without specials."""

    src_pieces: list[str]
    tgt_pieces: list[str]
    src_to_tgt: np.ndarray  # [X, Y] float32, last-layer attention, mean over heads
    tgt_to_src: np.ndarray  # [Y, X] float32
    similarity: np.ndarray  # [X, Y] float32, cosine of the two sides encoded alone


def view_pair(
    params: Params, config: EncoderConfig, tokenizer: Tokenizer, src: str, tgt: str
) -> PairView:
    """Both attention directions and the similarities of a sentence pair.

    Args:
        params: all of the model's parameters.
        config: the encoder's configuration.
        tokenizer: the model's tokenizer.
        src: a sentence; the longer one is cut where both do not fit the positions.
        tgt: its translation.
    """
    special = tokenizer.special
    src_ids, tgt_ids = tokenizer.encode_batch([src, tgt])
    pair = src_ids, tgt_ids = fitted(
        (src_ids, tgt_ids),
        config.usable_positions,
        method="attention",
        separators=special.separators,
    )
    cosines = _products(config, Similarity("cosine"), -1)
    (((src_to_tgt,), (tgt_to_src,)),) = _blocks(
        _attention(config, special.separators), params, [_as_pair(pair)], special
    )
    (((similarity,), _),) = _blocks(
        cosines, params, [[(src_ids, []), (tgt_ids, [])]], special
    )
    return PairView(
        src_pieces=tokenizer.pieces(src_ids),
        tgt_pieces=tokenizer.pieces(tgt_ids),
        src_to_tgt=src_to_tgt,
        tgt_to_src=tgt_to_src,
        similarity=similarity,
    )
