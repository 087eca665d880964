"""Sentences to vectors: tokenise, batch by length, encode, pool."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.model import rows
from amber_jax.model.encoder import Encoder, EncoderConfig
from amber_jax.model.heads import mean_pool
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.types import Array, Params

_LENGTH_STEP = 32  # tokens; sentences are padded to a multiple, for few shapes


class Pooling(NamedTuple):
    """Which vectors make a sentence's vector."""

    layer: int  # -1: the last; 0: embeddings; n: output of layer n
    kind: str  # "mean", or "first" for the vector of [CLS]
    special_tokens: bool  # whether [CLS] and [SEP] count in the mean


Embedder = Callable[[Params, Array, Array], Array]


def build_embedder(config: EncoderConfig, pooling: Pooling) -> Embedder:
    """Returns a compiled `(encoder params, token_ids, lengths) -> vectors`.

    token_ids is [B, L] int32, one sentence a row as `[CLS] x [SEP]`, lengths [B]
    int32 counts its tokens, and the vectors are [B, D] float32.
    """
    model = Encoder(config)

    @jax.jit
    def embed(params: Params, token_ids: Array, lengths: Array) -> Array:
        spans = jnp.stack([lengths, jnp.zeros_like(lengths)], axis=-1)[:, None]
        place = rows.layout(spans, token_ids.shape[1])
        last = pooling.layer in (-1, config.num_layers)
        output = model.apply(
            {"params": params},
            token_ids,
            place.sides,
            place.position_ids,
            rows.full_attention(place),
            keep_hidden_states=not last,
        )
        if last:
            states = output.hidden_states
        else:
            states = output.all_hidden_states[pooling.layer]
        return mean_pool(states, _members(place, lengths, pooling)[:, None])[:, 0]

    return embed


def _members(place: rows.Layout, lengths: Array, pooling: Pooling) -> Array:
    """Returns [B, L] bool: the tokens whose vectors are averaged."""
    position = place.position_ids
    real = place.pair_ids > 0
    if pooling.kind == "first":
        return real & (position == 0)
    if pooling.special_tokens:
        return real
    return real & (position > 0) & (position < lengths[:, None] - 1)


def embed_sentences(
    embedder: Embedder,
    params: Params,
    tokenizer: Tokenizer,
    sentences: Sequence[str],
    *,
    max_length: int,
    batch_size: int,
) -> np.ndarray:
    """Returns one vector per sentence, [M, D] float32, in the order given.

    Sentences are sorted by length for encoding; one longer than `max_length` tokens,
    specials included, is cut at its end.
    """
    encoded = [
        [tokenizer.special.cls, *ids[: max_length - 2], tokenizer.special.sep]
        for ids in tokenizer.encode_batch(sentences)
    ]
    order = np.argsort([len(ids) for ids in encoded], kind="stable")
    vectors: list[np.ndarray] = []
    for chosen in _chunks(order, batch_size):
        token_ids, lengths = _pad(
            [encoded[i] for i in chosen], batch_size, tokenizer.special.pad
        )
        result = np.asarray(embedder(params, token_ids, lengths))
        vectors.append(result[: len(chosen)])
    ordered = np.concatenate(vectors)
    embeddings = np.empty_like(ordered)
    embeddings[order] = ordered
    return embeddings


def _chunks(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for begin in range(0, len(order), size):
        yield order[begin : begin + size]


def _pad(
    encoded: list[list[int]], batch_size: int, pad_id: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns token_ids [batch_size, L] and lengths [batch_size], both int32."""
    longest = max(len(ids) for ids in encoded)
    width = -(-longest // _LENGTH_STEP) * _LENGTH_STEP
    token_ids = np.full((batch_size, width), pad_id, np.int32)
    lengths = np.zeros(batch_size, np.int32)
    for row, ids in enumerate(encoded):
        token_ids[row, : len(ids)] = ids
        lengths[row] = len(ids)
    return token_ids, lengths
