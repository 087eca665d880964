"""A checkpoint of a tiny random model, in a moment."""

from pathlib import Path

import jax
import numpy as np

from amber_jax.inference.loading import TOKENIZER_FOLDER, init_params
from amber_jax.model.encoder import EncoderConfig
from amber_jax.tokenization import Tokenizer
from amber_jax.training.checkpoint import save_params
from amber_jax.training.keys import init_key

POSITIONS = 64


def write(
    folder: Path,
    tokenizer: Tokenizer,
    *,
    num_layers: int = 2,
    padding: int = 0,
    extra_parts=(),
    **run,
) -> Path:
    """Writes it into `folder`, with noisy biases and scales, and returns the folder.

    `padding` counts entries of the model that the tokenizer has no piece for.
    `extra_parts` may name "pooler", "next_sentence" and "head"; `run` goes into
    run.json.
    """
    config = EncoderConfig(
        vocab_size=tokenizer.vocab_size + padding,
        num_layers=num_layers,
        hidden_size=16,
        num_heads=2,
        intermediate_size=24,
        max_positions=POSITIONS,
        num_segments=2,
        hidden_dropout=0.1,
        attention_dropout=0.0,
        initializer_range=0.4,
        dtype="float32",
        remat=False,
        # A tokenizer that joins sentences by two separators knows one segment.
        second_segment=2 - tokenizer.special.separators,
    )
    params = dict(jax.jit(init_params, static_argnums=0)(config, init_key(0)))
    if "pooler" in extra_parts:
        params["pooler"] = {"kernel": np.zeros((16, 16)), "bias": np.zeros(16)}
    if "head" in extra_parts:
        params["head"] = {"kernel": np.zeros((16, 3)), "bias": np.zeros(3)}
    if "next_sentence" in extra_parts:
        params["next_sentence"] = {"weights": np.zeros((2, 16)), "bias": np.zeros(2)}
    random = np.random.default_rng(0)
    noisy = jax.tree.map(
        lambda leaf: np.asarray(leaf + random.normal(0, 0.1, leaf.shape), np.float32),
        params,
    )
    facts = {
        "config": {"seed": 0},
        "step": 7,
        "encoder": config.recorded(),
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "versions": {},
    }
    save_params(
        folder,
        noisy,
        {**facts, **run},
        write_extras=lambda path: tokenizer.save(path / TOKENIZER_FOLDER),
    )
    return folder
