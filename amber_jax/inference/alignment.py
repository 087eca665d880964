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
from amber_jax.inference.devices import holders, tokens_at_once
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
"""A compiled (params, token_ids [B, L], span_lengths [B, N, 2]) -> [B, L, L] float32;
row i scores token i of a side against the tokens of the other side."""


class Directions(NamedTuple):
    """How strongly the pieces of a pair choose each other; every row sums to one."""

    src_to_tgt: np.ndarray  # [X, Y] float32, source pieces choose
    tgt_to_src: np.ndarray  # [Y, X] float32, target pieces choose


Aligner = Callable[[Params, Sequence[PiecePair]], list[Directions]]


def build_aligner(
    config: EncoderConfig, special: SpecialTokens, *, method: str, layer: int
) -> Aligner:
    """A function `(params, pairs) -> directions` of pairs of piece ids.

    "attention" is the last layer's, mean over heads, scaled to sum to one over the
    other side's pieces; "similarity" the softmax over the other side of the dot
    products of a layer's vectors, each side encoded alone. Special tokens are left
    out of both. Pairs are packed into rows of few lengths; the result of a pair does
    not depend on the others. Both sides of a pair must have pieces, and fit the model's
    positions: see `fitted`.

    Args:
        config: the encoder's configuration.
        special: the tokenizer's special tokens.
        method: "attention" or "similarity".
        layer: of "similarity": 0 the embeddings, n the output of layer n, -1 the last.

    Source: of the similarity, Dou and Neubig 2021 (awesome-align).
    """
    if method == "attention":
        matrices, as_texts, normalized = _attention(config), _as_pair, _unit_sums
    else:
        matrices, as_texts, normalized = _products(config, layer), _as_lone, _softmax

    def directions(params: Params, pairs: Sequence[PiecePair]) -> list[Directions]:
        return [
            Directions(*map(normalized, blocks))
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


def _as_lone(pair: PiecePair) -> Row:
    """The sides as two lone texts, which do not attend each other in a row."""
    return [(side, []) for side in pair]


def _unit_sums(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(x.sum(1, keepdims=True), 1e-9)


def _softmax(x: np.ndarray) -> np.ndarray:
    return _unit_sums(np.exp(x - x.max(1, keepdims=True)))


def fitted(pair: PiecePair, max_positions: int, *, method: str) -> PiecePair:
    """The pair, its sides cut at their ends to the model's positions.

    For "attention" both sides share the positions, and the longer one is cut first;
    for "similarity" each side has all of them.
    """
    src, tgt = pair
    if method == "attention":
        return cut_longest(src, tgt, max_positions - 3)  # [CLS] x [SEP] y [SEP]
    return src[: max_positions - 2], tgt[: max_positions - 2]


def _attention(config: EncoderConfig) -> Matrices:
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
        )
        is_tgt = directed.layout.sides[:, :, None] == 1
        return jnp.where(
            is_tgt, directed.tgt_to_src.mean(1), directed.src_to_tgt.mean(1)
        )

    return matrices


def _products(config: EncoderConfig, layer: int, *, unit: bool = False) -> Matrices:
    """The dot products of a layer's vectors; of vectors of `unit` length: cosines.

    Of rows that hold pairs `_as_lone`.
    """
    depth = config.num_layers if layer == -1 else layer

    @jax.jit
    def matrices(params: Params, token_ids: Array, span_lengths: Array) -> Array:
        layout = rows.layout(span_lengths, token_ids.shape[1])
        encoder, encoder_params = lowest_layers(config, params["encoder"], depth)
        output = encoder.apply(
            {"params": encoder_params},
            token_ids,
            layout.sides,
            layout.position_ids,
            rows.full_attention(layout),
        )
        states = output.hidden_states.astype(jnp.float32)  # [B, L, D]
        if unit:
            states /= jnp.linalg.norm(states, axis=-1, keepdims=True)
        # Accelerators would round to fewer bits, and a softmax follows.
        return jnp.einsum("bqd,bsd->bqs", states, states, precision="highest")

    return matrices


def _blocks(
    matrices: Matrices, params: Params, pairs: Sequence[Row], special: SpecialTokens
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The [X, Y] and the [Y, X] part of each pair, without special tokens."""
    blocks: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    tokens = tokens_at_once(holders(params)[0], most=_BATCH_TOKENS)
    for token_ids, span_lengths, indices in row_batches(pairs, special, tokens=tokens):
        batch = np.asarray(matrices(params, token_ids, span_lengths))
        sides = _sides(span_lengths)
        for index, (row, src, tgt) in zip(indices, sides, strict=True):
            blocks[index] = batch[row, src, tgt], batch[row, tgt, src]
    return [blocks[index] for index in range(len(pairs))]


def _sides(span_lengths: np.ndarray) -> Iterator[tuple[int, slice, slice]]:
    """Yields the row index of every pair, and the tokens of its sides' pieces there."""
    for row, row_spans in enumerate(span_lengths.tolist()):
        sides, start = [], 0
        for first, second in row_spans:
            if first:
                sides.append(slice(start + 1, start + first - 1))
                start += first
            if second:
                sides.append(slice(start, start + second - 1))
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
        src: a sentence.
        tgt: its translation.
    """
    src_ids, tgt_ids = tokenizer.encode_batch([src, tgt])
    pair, special = (src_ids, tgt_ids), tokenizer.special
    cosines = _products(config, -1, unit=True)
    ((src_to_tgt, tgt_to_src),) = _blocks(
        _attention(config), params, [_as_pair(pair)], special
    )
    ((similarity, _),) = _blocks(cosines, params, [_as_lone(pair)], special)
    return PairView(
        src_pieces=tokenizer.pieces(src_ids),
        tgt_pieces=tokenizer.pieces(tgt_ids),
        src_to_tgt=src_to_tgt,
        tgt_to_src=tgt_to_src,
        similarity=similarity,
    )
