"""From a checkpoint folder to a model that can be used: config, tokenizer, weights."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from amber_jax.errors import UserError
from amber_jax.inference.devices import suited_to
from amber_jax.model import rows
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.heads import PretrainingModel
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.training.checkpoint import (
    CHECKPOINTS,
    Checkpoint,
    abstract_params,
    check_parameters,
    find_checkpoint,
    restore_params,
)
from amber_jax.training.keys import init_key
from amber_jax.training.manifest import MANIFEST
from amber_jax.types import Array, Params

TOKENIZER_FOLDER = "tokenizer"
# Fields in which two encoders of the same parameters may differ: dropout in training,
# how fresh parameters are drawn, and how the same numbers are computed. Any other field
# makes another function of them, visible in their shapes or, as the heads, invisible.
_MAY_DIFFER = {
    *("hidden_dropout", "attention_dropout", "initializer_range"),
    *("dtype", "remat", "kernels"),
}
# A file that only folders of the format have, once a run's workdir is ruled out.
_MARKS = {
    "sentence-transformers": "modules.json",
    "hf": "config.json",
    "tf1": "bert_config.json",
}
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


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
    """A fresh model's parameters, float32."""
    token_ids = jnp.zeros((1, 8), jnp.int32)
    layout = rows.layout(jnp.array([[[4, 4]]]), token_ids.shape[1])
    variables = PretrainingModel(config).init(
        key,
        token_ids,
        layout.sides,
        layout.position_ids,
        rows.full_attention(layout),
        jnp.zeros((1, 1), jnp.int32),
    )
    return variables["params"]


def untrained_params(checkpoint: Checkpoint, config: EncoderConfig) -> Params:
    """The parameters that a checkpoint's run began with, float32, from its seed."""
    key = init_key(int(checkpoint.run["config"]["seed"]))
    return jax.jit(init_params, static_argnums=0)(config, key)


def checkpoint_at(path: Path, note: Callable[[str], None] = print) -> Checkpoint:
    """The checkpoint that `path` names, see `training.checkpoint`.

    Args:
        path: a run's workdir or one of its checkpoint folders.
        note: called with a sentence for every damaged checkpoint that is passed over.

    Raises:
        UserError: there is none; for a model of another format, and for a name of the
            Hugging Face hub, it says how to get one.
    """
    try:
        return find_checkpoint(path, note)
    except UserError as error:
        if (path / MANIFEST).exists() or (path / CHECKPOINTS).exists():
            raise
        for name, file in _MARKS.items():
            if (path / file).is_file():
                raise UserError(
                    f"{path} is a model of another format, no checkpoint; run "
                    f"amber convert --from={name}:{path} --to=amber:DIR, and give "
                    "DIR"
                ) from error
        if not path.exists() and _HUB_NAME.fullmatch(str(path)):
            raise UserError(
                f"{path} is no folder here; wanted a run's workdir; models of the "
                "Hugging Face hub are not fetched: download one, run amber convert "
                "--from=hf:FOLDER --to=amber:DIR, and give DIR"
            ) from error
        raise


def load_model(
    path: Path,
    *,
    untrained: bool = False,
    kernels: Mapping[str, str] | None = None,
    note: Callable[[str], None] = print,
) -> LoadedModel:
    """The model of a checkpoint, as a `LoadedModel`.

    Args:
        path: a run's workdir or one of its checkpoint folders.
        untrained: random parameters of the run's seed instead, the first baseline of
            any score.
        kernels: forms of the encoder's arithmetic, as `devices.suited_to` takes them.
        note: called with a sentence for every damaged checkpoint that is passed over.

    Raises:
        UserError: there is no usable checkpoint, it is a model of another format, its
            tokenizer is another one, or there is no such form.
    """
    checkpoint = checkpoint_at(path, note)
    forms = suited_to(jax.local_devices()[0], kernels)
    config = EncoderConfig(**checkpoint.run["encoder"], kernels=forms)
    tokenizer = load_tokenizer(checkpoint.path / TOKENIZER_FOLDER)
    if tokenizer.fingerprint != checkpoint.run["tokenizer_fingerprint"]:
        raise UserError(
            f"{checkpoint.path}: the tokenizer there ({tokenizer.fingerprint[:12]}) is "
            "not the one the model was trained with "
            f"({checkpoint.run['tokenizer_fingerprint'][:12]}); use an intact copy"
        )
    params = _params(checkpoint, config, untrained)
    return LoadedModel(checkpoint, config, params, tokenizer)


def initial_checkpoint(
    path: Path,
    config: EncoderConfig,
    tokenizer: Tokenizer,
    abstract: Params,
    note: Callable[[str], None] = print,
) -> Checkpoint:
    """The checkpoint whose parameters another run is to begin with.

    Args:
        path: a run's workdir or one of its checkpoint folders.
        config: of the run's encoder.
        tokenizer: the run's.
        abstract: shapes of the run's parameters.
        note: as in `load_model`.

    Raises:
        UserError: there is no usable checkpoint, or it is one of another tokenizer, of
            other sizes than the run's, or without one of its parameters.
    """
    checkpoint = checkpoint_at(path, note)
    if checkpoint.run["tokenizer_fingerprint"] != tokenizer.fingerprint:
        raise UserError(
            f"init_checkpoint {checkpoint.path} was trained with another tokenizer "
            f"({checkpoint.run['tokenizer_fingerprint'][:12]}) than the corpus "
            f"({tokenizer.fingerprint[:12]}); build the corpus with the former"
        )
    trained = dataclasses.asdict(EncoderConfig(**checkpoint.run["encoder"]))
    wanted = dataclasses.asdict(config)
    differences = [
        f"{name} is {trained[name]} there and {wanted[name]} here"
        for name in wanted
        if name not in _MAY_DIFFER and trained[name] != wanted[name]
    ]
    if differences:
        raise UserError(
            f"init_checkpoint {checkpoint.path} is of another encoder than the "
            f"config's model: {'; '.join(differences)}; give model the values there"
        )
    check_parameters(checkpoint, abstract)
    return checkpoint


def _params(checkpoint: Checkpoint, config: EncoderConfig, untrained: bool) -> Any:
    if untrained:
        return untrained_params(checkpoint, config)
    abstract = jax.eval_shape(lambda: untrained_params(checkpoint, config))
    check_parameters(checkpoint, {"encoder": abstract["encoder"]})
    return restore_params(checkpoint, abstract_params(checkpoint))
