"""Hugging Face's folder of a BERT or XLM-R: config.json, weights, tokenizer files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from amber_jax.convert import tokenizer_files
from amber_jax.convert.architecture import (
    CONFIG,
    XLM_R,
    Architecture,
    architecture_of,
    read_config,
)
from amber_jax.convert.bert import Bert
from amber_jax.convert.bert_config import as_bert_config
from amber_jax.convert.names import from_params, left_behind, to_params
from amber_jax.convert.weights import as_float32, read_weights, write_weights
from amber_jax.errors import UserError
from amber_jax.files import write_json
from amber_jax.model.sentence_vector import SentenceVector

_ENCODER = ("embeddings.", "encoder.", "pooler.")


def read(folder: Path) -> Bert:
    """Returns the model in a folder.

    Raises:
        UserError: something is missing, damaged, unsafe or of another architecture.
    """
    config = read_config(folder)
    kind = architecture_of(config)
    tensors, notes = _read_tensors(folder, kind)
    params = to_params(tensors, config, kind.dialect, origin=str(folder))
    tokenizer = tokenizer_files.read(folder, vocab_size=config.vocab_size)
    return Bert(config, params, tokenizer, SentenceVector(), notes=notes)


def write(folder: Path, bert: Bert, *, max_shard_bytes: int) -> None:
    """Writes the model into an existing folder.

    Raises:
        UserError: its positions do not begin where an XLM-R of its tokenizer has them,
            or its second segment is not the tokenizer's.
    """
    kind, special = architecture_of(bert.config), bert.tokenizer.special
    offset = bert.config.position_offset
    if offset not in (0, special.pad + 1):
        raise UserError(
            f"the model's position_offset is {offset}, but an XLM-R whose padding is "
            f"{special.pad} has its first position at {special.pad + 1}; only 0 and "
            "that can be exported"
        )
    tensors = from_params(bert.params, bert.config, kind.dialect)
    if "mlm_head" not in bert.params:
        tensors = {n.removeprefix(kind.prefix): array for n, array in tensors.items()}
    write_weights(folder, tensors, max_shard_bytes=max_shard_bytes)
    fields = {
        "architectures": [kind.class_for(bert.params)],
        "model_type": kind.model_type,
        **as_bert_config(bert.config),
        "layer_norm_eps": bert.config.layer_norm_epsilon,
        "pad_token_id": special.pad,
        "torch_dtype": "float32",
    }
    if kind is XLM_R:
        fields |= {"bos_token_id": special.cls, "eos_token_id": special.sep}
    write_json(folder / CONFIG, fields)
    tokenizer_files.write(
        folder, bert.tokenizer, max_positions=bert.config.usable_positions
    )
    segment = read_config(folder).second_segment
    if segment != bert.config.second_segment:
        raise UserError(
            f"the model's second_segment is {bert.config.second_segment}, but with its "
            f"tokenizer a second sentence has segment {segment} in this format"
        )


def _read_tensors(
    folder: Path, kind: Architecture
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Returns the folder's tensors as a model with heads calls them, and notes.

    Raises:
        UserError: as `read_weights`, or two tensors have one meaning and differ.
    """
    tensors = _modern_names(read_weights(folder), folder, kind.prefix)
    dropped = left_behind(tensors, kind.dialect)
    kept = {name: array for name, array in tensors.items() if name not in dropped}
    floats, cast = as_float32(kept, origin=str(folder))
    left = [f"left behind: {name} ({what})" for name, what in dropped.items()]
    return _untied(floats, folder, kind), (*left, *([cast] if cast else []))


def _modern_names(
    tensors: Mapping[str, np.ndarray], folder: Path, prefix: str
) -> dict[str, np.ndarray]:
    renamed: dict[str, np.ndarray] = {}
    for name, array in tensors.items():
        modern = name
        if name.startswith(_ENCODER):
            modern = prefix + name
        # TensorFlow's words, in files of 2018 and 2019.
        modern = modern.replace("LayerNorm.gamma", "LayerNorm.weight")
        modern = modern.replace("LayerNorm.beta", "LayerNorm.bias")
        if modern in renamed:
            raise UserError(
                f"{folder}: has {modern} twice, once as {name}; use an intact copy"
            )
        renamed[modern] = array
    return renamed


def _untied(
    tensors: Mapping[str, np.ndarray], folder: Path, kind: Architecture
) -> dict[str, np.ndarray]:
    """Returns the tensors with each tied one under one name."""
    single = dict(tensors)
    decoder = f"{kind.head}.decoder"
    tied = {
        f"{decoder}.weight": f"{kind.prefix}embeddings.word_embeddings.weight",
        f"{decoder}.bias": f"{kind.head}.bias",
    }
    for copy, original in tied.items():
        if copy not in single:
            continue
        array = single.pop(copy)
        if not np.array_equal(single.setdefault(original, array), array):
            raise UserError(
                f"{folder}: {copy} is not {original}; only models that tie the two, as "
                "BERT does, can be converted"
            )
    return single
