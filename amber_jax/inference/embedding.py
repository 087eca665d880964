"""Sentences to vectors: tokenize, pack into rows, encode, pool."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.corpora.packing import Row
from amber_jax.errors import UserError
from amber_jax.inference.devices import (
    divided_rows,
    holders,
    on_all_devices,
    on_host,
    tokens_at_once,
)
from amber_jax.inference.row_batches import RowBatch, row_batches
from amber_jax.model import rows
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.heads import mean_pool
from amber_jax.model.layer_by_layer import build_states, layers_apart
from amber_jax.model.sentence_vector import SentenceVector
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.types import Array, Params

T = TypeVar("T")

Embedder = Callable[[Params, Array, Array], Array]
Progress = Callable[[int, int], None]  # (sentences done, sentences in all)


class Encoded(NamedTuple):
    """Vectors of sentences, and counts of sentences to warn about."""

    vectors: np.ndarray  # [N, D] float32
    empty: int  # sentences without any piece
    cut: int  # sentences of more than `Model.max_length` tokens


def build_embedder(
    config: EncoderConfig, vector: SentenceVector, *, every_layer: bool = False
) -> Embedder:
    """A function `(params, token_ids, span_lengths) -> vectors`, compiled in parts.

    params are as `embedding_params` makes them; token_ids is [B, L]
    int32, rows of several sentences, each as `[CLS] x [SEP]`; span_lengths [B, N, 2]
    int32 counts their tokens, as lone texts; the vectors are [B, N, D] float32. No
    layer above the one asked for is computed.

    Args:
        config: the encoder's configuration.
        vector: which tokens of which layer.
        every_layer: return [B, N, layers + 1, D], embeddings first, whatever
            `vector.layer` is. Each layer is pooled as it is computed, and its states
            are not kept.
    """
    depth = config.num_layers
    if not every_layer:
        depth = vector.numbered(depth).layer
    states = build_states(config, depth)

    @jax.jit
    def pool(params: Params, of_layer: Array, span_lengths: Array) -> Array:
        """[B, L, D] -> [B, N, D]."""
        layout = rows.layout(span_lengths, of_layer.shape[1])
        members = _members(layout, vector)[:, None]  # [B, 1, L]
        members &= rows.one_hot_pairs(layout.pair_ids, span_lengths.shape[1])
        vectors = mean_pool(of_layer, members)
        return pooled(params, vectors) if vector.pooling == "pooler" else vectors

    def embed(params: Params, token_ids: Array, span_lengths: Array) -> Array:
        on_top = {part: of for part, of in params.items() if part != "encoder"}
        of_layers = states(params["encoder"], token_ids, span_lengths)
        if every_layer:
            pools = [pool(on_top, of_layer, span_lengths) for of_layer in of_layers]
            return jnp.stack(pools, axis=2)
        for of_layer in of_layers:
            last = of_layer
        return pool(on_top, last, span_lengths)

    return embed


def embedding_params(params: Params) -> Params:
    """What an embedder takes of a model's parameters, on all local devices."""
    return on_all_devices(parts_to_embed(params))


def parts_to_embed(params: Params) -> Params:
    """The encoder, its layers apart, and the pooler if there is one."""
    parts = {"encoder": layers_apart(params["encoder"])}
    if "pooler" in params:
        parts["pooler"] = params["pooler"]
    return parts


def pooled(params: Params, vectors: Array) -> Array:
    """What BERT's pooler makes of vectors of [CLS], [B, N, D] -> [B, N, D] float32.

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
    return jnp.tanh(product + pooler["bias"][None, None])


def _members(layout: rows.Layout, vector: SentenceVector) -> Array:
    """The tokens whose vectors are averaged, [B, L] bool."""
    is_real = layout.pair_ids > 0
    is_first = is_real & (layout.position_ids == 0)
    if vector.pooling != "mean":
        return is_first
    if vector.special_tokens:
        return is_real
    following = jnp.pad(layout.pair_ids[:, 1:], ((0, 0), (0, 1)))
    return is_real & ~is_first & (layout.pair_ids == following)


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

    The shape is [M, D], or [M, layers + 1, D] from an embedder of every layer. A
    sentence longer than `max_length` tokens, specials included, is cut at its end.

    Args:
        embedder: as `build_embedder` makes it.
        params: the model's parameters, as the embedder takes them. Rows are divided
            over the devices that hold them, see `devices.on_all_devices`.
        tokenizer: the model's tokenizer.
        sentences: any number of them, none included.
        max_length: tokens of a sentence.
        batch_size: sentences of `max_length` in a batch of a device, at most. Of
            shorter ones a batch has as many more as have the same number of tokens. A
            CPU takes fewer at once, because what fits its caches is computed sooner.
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
    texts: list[Row] = [[(ids[: max_length - 2], [])] for ids in pieces]
    devices = holders(params)
    tokens = tokens_at_once(devices[0], most=batch_size * max_length)
    batches = row_batches(
        texts,
        tokenizer.special,
        tokens=tokens * len(devices),
        multiple=len(devices),
    )

    def encode() -> Iterator[tuple[RowBatch, Array]]:
        for batch in batches:
            with divided_rows(params) as divided:
                inputs = divided(batch.token_ids), divided(batch.span_lengths)
                yield batch, embedder(params, *inputs)

    embeddings = _uninitialized(embedder, params, count=len(texts))
    done = 0
    for batch, vectors in _delayed(encode()):
        is_text = batch.span_lengths[..., 0] > 0  # [B, N]
        embeddings[batch.indices] = on_host(vectors)[is_text]
        done += len(batch.indices)
        if on_progress is not None:
            on_progress(done, len(texts))
    return embeddings


def _uninitialized(embedder: Embedder, params: Params, *, count: int) -> np.ndarray:
    """An array for `count` vectors of the embedder's shape, float32."""
    token_ids = jax.ShapeDtypeStruct((1, 1), np.int32)
    span_lengths = jax.ShapeDtypeStruct((1, 1, 2), np.int32)
    vectors = jax.eval_shape(embedder, params, token_ids, span_lengths)
    return np.empty((count, *vectors.shape[2:]), np.float32)


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
