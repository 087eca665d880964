"""What a model knows of which word translates which: one pair at a time."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.heads import PretrainingModel
from amber_jax.objectives import both_directions, directed_passes
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.types import Params


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
    """Returns both attention directions and the similarities of a sentence pair.

    Args:
        params: all of the model's parameters.
        config: the encoder's configuration.
        tokenizer: the model's tokenizer.
        src: a sentence.
        tgt: its translation.
    """
    src_ids, tgt_ids = tokenizer.encode_batch([src, tgt])
    special = tokenizer.special
    row = [special.cls, *src_ids, special.sep, *tgt_ids, special.sep]
    spans = [[len(src_ids) + 2, len(tgt_ids) + 1]]
    pair = {"token_ids": jnp.array([row]), "span_lengths": jnp.array([spans])}
    model = PretrainingModel(config)
    unused = jax.random.key(0)  # no dropout
    forward, backward, order = directed_passes(
        model,
        params,
        pair,
        offsets=jnp.zeros((1, 1), jnp.int32),
        dropout_keys=(unused, unused),
        train=False,
    )
    tgt_to_src, src_to_tgt = both_directions(
        params["encoder"], config, forward, backward, order
    )
    src_places = slice(1, 1 + len(src_ids))
    tgt_places = slice(2 + len(src_ids), 2 + len(src_ids) + len(tgt_ids))
    src_states = _unit(forward.hidden_states[0, src_places])
    tgt_states = _unit(backward.hidden_states[0, 1 : 1 + len(tgt_ids)])
    return PairView(
        src_pieces=tokenizer.pieces(src_ids),
        tgt_pieces=tokenizer.pieces(tgt_ids),
        src_to_tgt=np.asarray(src_to_tgt.mean(1)[0, src_places, tgt_places]),
        tgt_to_src=np.asarray(tgt_to_src.mean(1)[0, tgt_places, src_places]),
        similarity=src_states @ tgt_states.T,
    )


def _unit(states: jax.Array) -> np.ndarray:
    states = np.asarray(states, np.float32)
    return states / np.linalg.norm(states, axis=-1, keepdims=True)
