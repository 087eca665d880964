"""From a checkpoint folder to a model that can be used: config, tokenizer, weights."""

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.convert.bert import Bert
from amber_jax.convert.folders import FORMATS, format_of
from amber_jax.errors import UserError
from amber_jax.inference.devices import suited_to
from amber_jax.model import rows
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.heads import PretrainingModel
from amber_jax.ranges import DTYPES, problems, refuse
from amber_jax.storage import refuse_unfinished
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.training.agreement import decided_by_first
from amber_jax.training.checkpoint import (
    CHECKPOINTS,
    Checkpoint,
    Note,
    abstract_params,
    check_parameters,
    find_checkpoint,
    leaf_names,
    parameter_shapes,
    restore_params,
)
from amber_jax.training.keys import init_key
from amber_jax.training.manifest import MANIFEST
from amber_jax.training.workdir import versions
from amber_jax.types import Array, Params

TOKENIZER_FOLDER = "tokenizer"
# Fields in which two encoders of the same parameters may differ: dropout in training,
# how fresh parameters are drawn, and how the same numbers are computed. Any other field
# makes another function of them, visible in their shapes or, as the heads, invisible.
MAY_DIFFER = {
    *("hidden_dropout", "attention_dropout", "initializer_range"),
    *("dtype", "remat", "kernels"),
}
# What run.json says of any model, wherever it was trained.
_OF_MODEL = ("encoder", "tokenizer_fingerprint", "sentence_vector", "encoding")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model read back from a checkpoint, or from a folder of another format.

    `params` has "encoder", and "mlm_head", "pooler" or "head" where they were saved. Of
    a folder of another format `checkpoint` is what `convert` would write of it.
    """

    checkpoint: Checkpoint
    config: EncoderConfig
    params: Params
    tokenizer: Tokenizer

    @functools.cached_property
    def fingerprint(self) -> str:
        """The sha256 (hex) of the checkpoint's manifest, or else of all it would vouch
        for: parameters, encoder, tokenizer, and how sentences become vectors.
        """
        manifest = self.checkpoint.path / MANIFEST
        if manifest.exists():
            return hashlib.sha256(manifest.read_bytes()).hexdigest()
        run = self.checkpoint.run
        of_model = {name: run.get(name) for name in _OF_MODEL}
        digest = hashlib.sha256(json.dumps(of_model, sort_keys=True).encode())
        for name, leaf in leaf_names(self.params):
            digest.update(f"{name} {leaf.shape}\n".encode())
            digest.update(np.ascontiguousarray(leaf, "<f4"))
        return digest.hexdigest()


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


def foreign_run(bert: Bert, source: str) -> dict[str, Any]:
    """The run.json of a model that was not trained here.

    Args:
        bert: the model.
        source: the format and folder that it comes from, as in hf:models/mbert.
    """
    return {
        "config": {"seed": 0},
        "step": 0,
        "stage": "",
        "converted_from": source,
        "encoder": bert.config.recorded(),
        "tokenizer_fingerprint": bert.tokenizer.fingerprint,
        "sentence_vector": bert.sentence_vector._asdict(),
        "encoding": dataclasses.asdict(bert.encoding),
        "versions": versions(),
    }


def checkpoint_at(path: Path, note: Note = print) -> Checkpoint:
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
        if kind := _foreign_format(path):
            raise UserError(
                f"{path} is a model of another format, no checkpoint; run "
                f"amber convert --from={kind}:{path} --to=amber:DIR, and give DIR"
            ) from error
        if not path.exists() and _HUB_NAME.fullmatch(str(path)):
            raise UserError(
                f"{path} is no folder here; wanted a run's workdir or a model's "
                "folder; models of the Hugging Face hub are not fetched: download one, "
                "and give its folder"
            ) from error
        raise


def load_model(
    path: Path,
    *,
    untrained: bool = False,
    kernels: Mapping[str, str] | None = None,
    dtype: str | None = None,
    note: Note = print,
) -> LoadedModel:
    """The model of a checkpoint or of a folder of another format, as a `LoadedModel`.

    Args:
        path: a run's workdir, one of its checkpoint folders, or a folder of Hugging
            Face's or sentence-transformers' format.
        untrained: random parameters of the run's seed instead, the first baseline of
            any score.
        kernels: forms of the encoder's arithmetic, as `devices.suited_to` takes them.
        dtype: of activations, one of `ranges.DTYPES`; None: as trained.
        note: called with a sentence for every damaged checkpoint that is passed over,
            and for everything in a folder that does not come along.

    Raises:
        UserError: there is no usable checkpoint, it is a model of another format, its
            tokenizer is another one, or there is no such form or dtype.
    """
    if dtype is not None:
        refuse("load", problems(dtype, DTYPES, "dtype"))
    forms = suited_to(jax.local_devices()[0], kernels)
    read = _read_folder if _is_read_directly(path) else load_checkpoint
    model = read(path, note)
    config = dataclasses.replace(
        model.config, kernels=forms, dtype=dtype or model.config.dtype
    )
    if untrained:
        params = untrained_params(model.checkpoint, config)
        return dataclasses.replace(model, config=config, params=params)
    return dataclasses.replace(model, config=config)


def load_checkpoint(path: Path, note: Note) -> LoadedModel:
    """`load_model` of a run's workdir or one of its checkpoint folders alone."""
    checkpoint = checkpoint_at(path, note)
    config = EncoderConfig(**checkpoint.run["encoder"])
    tokenizer = load_tokenizer(checkpoint.path / TOKENIZER_FOLDER)
    if tokenizer.fingerprint != checkpoint.run["tokenizer_fingerprint"]:
        raise UserError(
            f"{checkpoint.path}: the tokenizer there ({tokenizer.fingerprint[:12]}) is "
            "not the one the model was trained with "
            f"({checkpoint.run['tokenizer_fingerprint'][:12]}); use an intact copy"
        )
    abstract = jax.eval_shape(lambda: untrained_params(checkpoint, config))
    check_parameters(checkpoint, {"encoder": abstract["encoder"]})
    params = restore_params(checkpoint, abstract_params(checkpoint))
    return LoadedModel(checkpoint, config, params, tokenizer)


def settled(path: Path, note: Note = print) -> Path:
    """The folder that `path` names now, the same one in all processes of a run.

    Of a workdir in which a run goes on they might find different checkpoints.
    Arguments and errors as of `checkpoint_at`.
    """
    if jax.process_count() == 1 or _is_read_directly(path):
        return path
    return path / decided_by_first(
        lambda: str(checkpoint_at(path, note).path.relative_to(path))
    )


def encoder_at(path: Path, note: Note = print) -> EncoderConfig:
    """The encoder of the model that `path` names, as `load_model` takes it.

    Raises:
        UserError: as `load_model`; weights are not read.
    """
    if _is_read_directly(path):
        return FORMATS[_foreign_format(path)].read_config(path)
    return EncoderConfig(**checkpoint_at(path, note).run["encoder"])


class Initial(NamedTuple):
    """What another run begins with."""

    run: Mapping[str, Any]  # the model's run.json
    has_head: bool  # whether the parameters have an MLM head
    restore: Callable[[], Params]  # its parameters, placed where the run has them
    pooler: Callable[[], Params]  # {"pooler": ...}, or {} if it has none


def initial_model(
    path: Path,
    config: EncoderConfig,
    tokenizer: Tokenizer,
    abstract: Params,
    note: Note = print,
) -> Initial:
    """The model whose parameters another run is to begin with.

    It may lack an MLM head; the run's own then stays as it is.

    Args:
        path: as `load_model` takes it.
        config: of the run's encoder.
        tokenizer: the run's.
        abstract: shapes and shardings of the run's parameters.
        note: as in `load_model`.

    Raises:
        UserError: there is no usable model, or it is one of another tokenizer, of
            other sizes than the run's, or without one of its parameters.
    """
    folder = _read_folder(path, note) if _is_read_directly(path) else None
    checkpoint = folder.checkpoint if folder else checkpoint_at(path, note)
    if checkpoint.run["tokenizer_fingerprint"] != tokenizer.fingerprint:
        raise UserError(
            f"init_checkpoint {checkpoint.path} was trained with another tokenizer "
            f"({checkpoint.run['tokenizer_fingerprint'][:12]}) than the corpus "
            f"({tokenizer.fingerprint[:12]}); build the corpus with the former"
        )
    trained = EncoderConfig(**checkpoint.run["encoder"])
    if differences := differing(config, trained):
        raise UserError(
            f"init_checkpoint {checkpoint.path} is of another encoder than the "
            f"config's model: {differences}; give model the values there"
        )
    there = {name.split("/")[0] for name in checkpoint.run["parameters"]}
    has_head = "mlm_head" in there
    wanted = {n: x for n, x in abstract.items() if has_head or n != "mlm_head"}
    check_parameters(checkpoint, wanted)
    restore = functools.partial(restore_params, checkpoint, wanted)
    pooler = functools.partial(stored_pooler, checkpoint)
    if folder:
        restore = functools.partial(_placed, folder.params, wanted)
        pooler = functools.partial(_pooler_of, folder.params)
    return Initial(checkpoint.run, has_head, restore, pooler)


def stored_pooler(checkpoint: Checkpoint) -> Params:
    """The pooler of a checkpoint as {"pooler": ...}, or {} if it has none."""
    abstract = _pooler_of(abstract_params(checkpoint))
    return restore_params(checkpoint, abstract) if abstract else {}


def _pooler_of(params: Params) -> Params:
    return {part: params[part] for part in params if part == "pooler"}


def differing(config: EncoderConfig, trained: EncoderConfig) -> str:
    """What makes another model of parameters that were trained; "" for nothing."""
    here, there = config.recorded(), trained.recorded()
    return "; ".join(
        f"{name} is {there[name]} there and {here[name]} here"
        for name in here
        if name not in MAY_DIFFER and there[name] != here[name]
    )


def _foreign_format(path: Path) -> str | None:
    """The format of a folder that is none of ours; a workdir has a config.json too."""
    ours = (path / MANIFEST).exists() or (path / CHECKPOINTS).exists()
    return None if ours else format_of(path)


def _is_read_directly(path: Path) -> bool:
    refuse_unfinished(path)
    return _foreign_format(path) in ("hf", "sentence-transformers")


def _read_folder(path: Path, note: Note) -> LoadedModel:
    kind = _foreign_format(path)
    bert = FORMATS[kind].read(path)
    for sentence in bert.notes:
        note(f"{path}: {sentence}")
    run = foreign_run(bert, f"{kind}:{path}")
    run["parameters"] = parameter_shapes(bert.params)
    return LoadedModel(
        Checkpoint(path, run["step"], run),
        bert.config,
        jax.tree.map(jnp.asarray, bert.params),
        bert.tokenizer,
    )


def _placed(params: Params, abstract: Params) -> Params:
    """The parts of `params` that `abstract` names, with its shardings."""

    def place(wanted: jax.ShapeDtypeStruct, param: Array) -> Array:
        array = np.asarray(param)
        return jax.make_array_from_callback(
            wanted.shape, wanted.sharding, lambda index: array[index]
        )

    return jax.tree.map(place, abstract, {part: params[part] for part in abstract})
