"""From a checkpoint folder to a model that can be used: config, tokenizer, weights."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from amber_jax.errors import UserError
from amber_jax.model import rows
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.heads import PretrainingModel
from amber_jax.model.kernels import suited_to
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.training.checkpoint import (
    Checkpoint,
    abstract_params,
    check_parameters,
    find_checkpoint,
    restore_params,
)
from amber_jax.types import Array, Params

TOKENIZER_FOLDER = "tokenizer"


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model read back from a checkpoint.

    `params` has "encoder", and "mlm_head", "pooler" or "head" where they were saved.
    """

    checkpoint: Checkpoint
    config: EncoderConfig
    params: Params
    tokenizer: Tokenizer


def init_params(config: EncoderConfig, key: Array) -> Params:
    """Returns a fresh model's parameters, float32."""
    token_ids = jnp.zeros((1, 8), jnp.int32)
    place = rows.layout(jnp.array([[[4, 4]]]), token_ids.shape[1])
    variables = PretrainingModel(config).init(
        key,
        token_ids,
        place.sides,
        place.position_ids,
        rows.full_attention(place),
        jnp.zeros((1, 1), jnp.int32),
    )
    return variables["params"]


def init_key(seed: int) -> Array:
    """Returns the key that a run of `seed` draws its first parameters from."""
    return jax.random.fold_in(jax.random.key(seed), 0)


def load_model(
    path: Path, *, untrained: bool = False, note: Callable[[str], None] = print
) -> LoadedModel:
    """Returns the model of a checkpoint, as a `LoadedModel`.

    Args:
        path: a run's workdir or one of its checkpoint folders.
        untrained: random parameters of the run's seed instead: what they can do
            already is the first baseline of any score.
        note: called with a sentence for every damaged checkpoint that is passed over.

    Raises:
        UserError: there is no usable checkpoint, or its tokenizer is another one.
    """
    checkpoint = find_checkpoint(Path(path), note)
    kernels = suited_to(jax.local_devices()[0])
    config = EncoderConfig(**checkpoint.run["encoder"], kernels=kernels)
    tokenizer = load_tokenizer(checkpoint.path / TOKENIZER_FOLDER)
    if tokenizer.fingerprint != checkpoint.run["tokenizer_fingerprint"]:
        raise UserError(
            f"{checkpoint.path}: the tokenizer there ({tokenizer.fingerprint[:12]}) is "
            "not the one the model was trained with "
            f"({checkpoint.run['tokenizer_fingerprint'][:12]}); use an intact copy"
        )
    params = _params(checkpoint, config, untrained)
    return LoadedModel(checkpoint, config, params, tokenizer)


def _params(checkpoint: Checkpoint, config: EncoderConfig, untrained: bool) -> Any:
    key = init_key(int(checkpoint.run["config"]["seed"]))
    if untrained:
        return jax.jit(init_params, static_argnums=0)(config, key)
    abstract = jax.eval_shape(lambda: init_params(config, key))
    check_parameters(checkpoint, {"encoder": abstract["encoder"]})
    return restore_params(checkpoint, abstract_params(checkpoint))
