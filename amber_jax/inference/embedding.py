"""Sentences to vectors: tokenize, batch by length, encode, pool."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.errors import UserError
from amber_jax.model import rows
from amber_jax.model.encoder import EncoderConfig, lowest_layers
from amber_jax.model.heads import mean_pool
from amber_jax.model.sentence_vector import SentenceVector
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.types import Array, Params

T = TypeVar("T")

_SMALLEST_ROWS = 8  # sentences in the last batch, so that few shapes are compiled
_SMALLEST_WIDTH = 8  # tokens

Embedder = Callable[[Params, Array, Array], Array]
Progress = Callable[[int, int], None]  # (sentences done, sentences in all)


def build_embedder(
    config: EncoderConfig, vector: SentenceVector, *, every_layer: bool = False
) -> Embedder:
    """A compiled function `(params, token_ids, lengths) -> vectors`.

    params has "encoder" and, if the vector needs it, "pooler"; token_ids is [B, L]
    int32, one sentence a row as `[CLS] x [SEP]`, lengths [B]
    int32 counts its tokens, and the vectors are [B, D] float32. No layer above the
    one asked for is computed.

    Args:
        config: the encoder's configuration.
        vector: which tokens of which layer.
        every_layer: return [B, N + 1, D], embeddings first, whatever `vector.layer`
            is. Each layer is pooled as it is computed, and its states are not kept.
    """
    depth = config.num_layers
    if not every_layer:
        depth = vector.numbered(depth).layer
    # Many shapes are compiled, and a loop compiles faster.
    kernels = dataclasses.replace(config.kernels, layers="loop")
    config = dataclasses.replace(config, kernels=kernels)

    @jax.jit
    def embed(params: Params, token_ids: Array, lengths: Array) -> Array:
        layout = rows.lone_layout(lengths, token_ids.shape[1])
        members = _members(layout, lengths, vector)[:, None]  # [B, 1, L]

        def pool(states: Array) -> Array:
            """[B, L, D] -> [B, D]."""
            return mean_pool(states, members)[:, 0]

        encoder, lowest = lowest_layers(config, params["encoder"], depth)
        output = encoder.apply(
            {"params": lowest},
            token_ids,
            layout.sides,
            layout.position_ids,
            rows.full_attention(layout),
            readout=pool if every_layer else None,
        )
        if every_layer:
            return output.readouts.swapaxes(0, 1)  # [N + 1, B, D] -> [B, N + 1, D]
        vectors = pool(output.hidden_states)
        return pooled(params, vectors) if vector.pooling == "pooler" else vectors

    return embed


def pooled(params: Params, vectors: Array) -> Array:
    """What BERT's pooler makes of vectors of [CLS], [B, D] -> [B, D] float32.

    Raises:
        UserError: there is no "pooler" in `params`.
    """
    if "pooler" not in params:
        raise UserError(
            f"pooling is 'pooler', but the model has none, only {', '.join(params)}; "
            "wanted 'mean' or 'first'"
        )
    pooler = params["pooler"]
    product = jnp.matmul(vectors, pooler["kernel"], precision=jax.lax.Precision.HIGHEST)
    return jnp.tanh(product + pooler["bias"][None])


def _members(layout: rows.Layout, lengths: Array, vector: SentenceVector) -> Array:
    """The tokens whose vectors are averaged, [B, L] bool."""
    position = layout.position_ids
    is_real = layout.pair_ids > 0
    if vector.pooling != "mean":
        return is_real & (position == 0)
    if vector.special_tokens:
        return is_real
    return is_real & (position > 0) & (position < lengths[:, None] - 1)


def embed_sentences(
    embedder: Embedder,
    params: Params,
    tokenizer: Tokenizer,
    sentences: Sequence[str],
    *,
    max_length: int,
    batch_size: int,
    on_progress: Progress | None = None,
) -> np.ndarray:
    """One vector per sentence, float32, in the order given.

    The shape is [M, D], or [M, N + 1, D] from an embedder of every layer. Sentences
    are sorted by length, longest first, so that too little memory shows at once; one
    longer than `max_length` tokens, specials included, is cut at its end.

    Args:
        embedder: as `build_embedder` makes it.
        params: the model's parameters, as the embedder takes them.
        tokenizer: the model's tokenizer.
        sentences: any number of them, none included.
        max_length: tokens of a sentence.
        batch_size: sentences of `max_length` in a batch. Of shorter ones a batch has
            as many more as have the same number of tokens, padding included.
        on_progress: called after every batch.
    """
    return embed_pieces(
        embedder,
        params,
        tokenizer,
        tokenizer.encode_batch(sentences),
        max_length=max_length,
        batch_size=batch_size,
        on_progress=on_progress,
    )


def embed_pieces(
    embedder: Embedder,
    params: Params,
    tokenizer: Tokenizer,
    pieces: Sequence[list[int]],
    *,
    max_length: int,
    batch_size: int,
    on_progress: Progress | None = None,
) -> np.ndarray:
    """`embed_sentences` of the ids of sentences, without special tokens."""
    encoded = [
        [tokenizer.special.cls, *ids[: max_length - 2], tokenizer.special.sep]
        for ids in pieces
    ]
    lengths = [len(ids) for ids in encoded]
    batches = plan_batches(lengths, batch_size * padded_width(max_length))

    def encode() -> Iterator[tuple[Batch, Array]]:
        for batch in batches:
            padded = _pad([encoded[i] for i in batch.indices], batch, tokenizer)
            yield batch, embedder(params, *padded)

    shape = batches[0].shape if batches else (_SMALLEST_ROWS, _SMALLEST_WIDTH)
    embeddings = _uninitialized(embedder, params, shape, count=len(encoded))
    done = 0
    for batch, vectors in _delayed(encode()):
        embeddings[batch.indices] = np.asarray(vectors)[: len(batch.indices)]
        done += len(batch.indices)
        if on_progress is not None:
            on_progress(done, len(encoded))
    return embeddings


class Batch(NamedTuple):
    """Sentences that are encoded together."""

    indices: np.ndarray  # [S] int, of the sentences in the list
    shape: tuple[int, int]  # rows and tokens of the padded array, S or more rows


def plan_batches(lengths: Sequence[int], tokens: int) -> list[Batch]:
    """Batches that hold every sentence once, the longest first.

    Widths are those of `padded_width`, and every width has its own number of rows,
    `tokens` // width, except the last batch with the next power of two: up to 128
    tokens there are 8 shapes and one more.

    Args:
        lengths: tokens of each sentence.
        tokens: of a batch, padding included; a longer sentence has one of its own.
    """
    order = np.argsort(lengths, kind="stable")[::-1]
    batches = []
    while len(order):
        width = padded_width(lengths[order[0]])
        remaining = max(_SMALLEST_ROWS, 1 << (len(order) - 1).bit_length())
        batch_rows = min(max(1, tokens // width), remaining)
        batches.append(Batch(order[:batch_rows], (batch_rows, width)))
        order = order[batch_rows:]
    return batches


def padded_width(length: int) -> int:
    """The tokens that a sentence of `length` is padded to.

    A multiple of 8 up to 32, and above, two widths to every doubling: 48, 64, 96,
    128, ... On 25,000 Tatoeba sentences in 15 languages 76% of the tokens are real,
    with multiples of 32 it would be 40%.
    """
    step = 1 << max(0, (length - 1).bit_length() - 2)
    step = max(step, _SMALLEST_WIDTH)
    return -(-length // step) * step


def _pad(
    encoded: list[list[int]], batch: Batch, tokenizer: Tokenizer
) -> tuple[np.ndarray, np.ndarray]:
    """token_ids [B, L] and lengths [B], both int32."""
    token_ids = np.full(batch.shape, tokenizer.special.pad, np.int32)
    lengths = np.zeros(batch.shape[0], np.int32)
    for row, ids in enumerate(encoded):
        token_ids[row, : len(ids)] = ids
        lengths[row] = len(ids)
    return token_ids, lengths


def _uninitialized(
    embedder: Embedder, params: Params, shape: tuple[int, int], *, count: int
) -> np.ndarray:
    """An array for `count` vectors of the embedder's shape, float32."""
    token_ids = jax.ShapeDtypeStruct(shape, np.int32)
    lengths = jax.ShapeDtypeStruct(shape[:1], np.int32)
    vectors = jax.eval_shape(embedder, params, token_ids, lengths)
    return np.empty((count, *vectors.shape[1:]), np.float32)


def _delayed(results: Iterator[T]) -> Iterator[T]:
    """Yields `results`, each when the next has been started on the device."""
    previous: list[T] = []
    for result in results:
        yield from previous
        previous = [result]
    yield from previous


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """The vectors [N, D] scaled to length 1; a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)
