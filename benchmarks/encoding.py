"""How fast sentences become vectors, and how much of that is the model.

python -m benchmarks.encoding [--sentences=2000] [--hidden_size=256]

The library's `encode` packs sentences into rows; against it stands the usual way, in
the order given, each batch padded to its longest sentence. Same model, same vectors.
The model is random, the sentences are the sample's, of eight languages.
"""

import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from amber_jax.commands import command_line
from amber_jax.inference.devices import tokens_at_once
from amber_jax.inference.embedding import (
    Embedder,
    build_embedder,
    embed_pieces,
    embedding_params,
)
from amber_jax.inference.loading import LoadedModel, init_params
from amber_jax.inference.model import Model
from amber_jax.inference.row_batches import row_batches
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.training.checkpoint import Checkpoint
from amber_jax.training.keys import init_key
from benchmarks import sample, stopwatch, tables

POSITIONS, BATCH = 128, 64


def random_model(tokenizer: Tokenizer, *, num_layers: int, hidden_size: int) -> Model:
    """Returns a model of BERT's proportions that has learned nothing."""
    config = sample.encoder_config(
        tokenizer.vocab_size,
        num_layers=num_layers,
        hidden_size=hidden_size,
        max_positions=POSITIONS,
    )
    params = jax.jit(init_params, static_argnums=0)(config, init_key(0))
    nowhere = Checkpoint(Path("random"), 0, {"config": {}})
    return Model(LoadedModel(nowhere, config, params, tokenizer))


def in_order(model: Model, embedder: Embedder, sentences: list[str]) -> np.ndarray:
    """Returns the vectors by batches in the order given; widths are rounded up to 8."""
    special, vectors = model.tokenizer.special, []
    params = embedding_params(model.params)
    for start in range(0, len(sentences), BATCH):
        batch = model.tokenizer.encode_batch(sentences[start : start + BATCH])
        encoded = [[special.cls, *x[: POSITIONS - 2], special.sep] for x in batch]
        width = -(-max(map(len, encoded)) // 8) * 8
        token_ids = np.full((BATCH, width), special.pad, np.int32)
        span_lengths = np.zeros((BATCH, 1, 2), np.int32)
        for row, ids in enumerate(encoded):
            token_ids[row, : len(ids)], span_lengths[row, 0, 0] = ids, len(ids)
        of_rows = embedder(params, token_ids, span_lengths)
        vectors.append(np.asarray(of_rows)[: len(batch), 0])
    return np.concatenate(vectors)


@jax.jit
def _zeros(_: Any, __: Any, span_lengths: Any) -> jax.Array:
    return jnp.zeros((*span_lengths.shape[:2], 1))


def without_model(model: Model, sentences: list[str]) -> np.ndarray:
    """Returns zeros for vectors after all the work around the model."""
    return embed_pieces(
        _zeros,
        {},
        model.tokenizer,
        model.tokenizer.encode_batch(sentences),
        max_length=POSITIONS,
        batch_size=BATCH,
    )


def compare(model: Model, sentences: list[str], *, rounds: int) -> list[tables.Row]:
    """Returns a row of figures for each way to encode.

    Raises:
        AssertionError: their vectors differ.
    """
    embedder = build_embedder(model.config, model.sentence_vector)
    ways = {
        "packed rows, Model.encode": lambda: model.encode(sentences, progress=False),
        "in order, padded to the longest": lambda: in_order(model, embedder, sentences),
        "packed rows, no model": lambda: without_model(model, sentences),
        "tokenizing alone": lambda: model.tokenizer.encode_batch(sentences),
    }
    ours, usual, *_ = (work() for work in ways.values())  # compiles
    np.testing.assert_allclose(ours, usual, atol=1e-4)
    seconds = stopwatch.interleaved(ways, rounds=rounds)
    pieces = model.tokenizer.encode_batch(sentences)
    lengths = np.array([min(len(ids) + 2, POSITIONS) for ids in pieces])
    planned = row_batches(
        [[(ids[: POSITIONS - 2], [])] for ids in pieces],
        model.tokenizer.special,
        tokens=tokens_at_once(model.device, most=BATCH * POSITIONS),
    )
    longest = [
        -(-max(lengths[start : start + BATCH]) // 8) * 8
        for start in range(0, len(lengths), BATCH)
    ]
    computed = [
        sum(batch.token_ids.size for batch in planned),
        BATCH * int(sum(longest)),
    ]
    around = seconds["packed rows, no model"].cpu
    tokenizing = seconds["tokenizing alone"].cpu
    return [
        {
            "way": name,
            "sentences/s": len(sentences) / seconds[name].wall,
            "real tokens/s": lengths.sum() / seconds[name].wall,
            "real tokens/CPU-s": lengths.sum() / seconds[name].cpu,
            "real of computed positions, %": 100 * float(lengths.sum() / positions),
            "tokenizing, % of CPU time": 100 * tokenizing / seconds[name].cpu,
            "batching, % of CPU time": 100 * (around - tokenizing) / seconds[name].cpu,
            "model, % of CPU time": 100 * (1 - around / seconds[name].cpu),
        }
        for name, positions in zip(list(ways)[:2], computed, strict=True)
    ]


def define_flags() -> None:
    flags.DEFINE_integer("sentences", 2_000, "to encode", lower_bound=1)
    flags.DEFINE_integer("num_layers", 4, "of the encoder", lower_bound=1)
    flags.DEFINE_integer("hidden_size", 256, "of the encoder", lower_bound=64)
    flags.DEFINE_integer("rounds", 3, "timed ones", lower_bound=1)
    flags.DEFINE_bool("one_core", True, "whether the host has one core only")
    tables.define_flag()


def main(_: list[str]) -> None:
    wanted = flags.FLAGS
    if wanted.one_core:
        stopwatch.stay_on_one_core()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = load_tokenizer(sample.vocabulary(Path(folder)))
    model = random_model(
        tokenizer,
        num_layers=wanted.num_layers,
        hidden_size=wanted.hidden_size,
    )
    sentences = sample.sentences(wanted.sentences)
    title = (
        f"{len(sentences):,} sentences, {wanted.num_layers} layers of "
        f"{wanted.hidden_size}, {jax.default_backend()}"
    )
    tables.show({title: compare(model, sentences, rounds=wanted.rounds)}, wanted.json)


if __name__ == "__main__":
    define_flags()
    command_line.run(main, on_devices=True)
