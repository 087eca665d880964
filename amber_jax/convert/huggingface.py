"""Hugging Face's folder of a BERT: config.json, weights, tokenizer files."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from amber_jax.convert import tokenizer_files
from amber_jax.convert.bert import Bert
from amber_jax.convert.bert_config import as_bert_config, read_encoder_config
from amber_jax.convert.json_files import read_object
from amber_jax.convert.names import from_params, left_behind, to_params
from amber_jax.convert.weights import as_float32, read_weights, write_weights
from amber_jax.errors import UserError
from amber_jax.files import write_json
from amber_jax.model.activation import LAYER_NORM_EPSILON
from amber_jax.model.sentence_vector import SentenceVector

CONFIG = "config.json"
_PREFIX = "bert."  # of the encoder inside of a model with heads
_ENCODER = ("embeddings.", "encoder.", "pooler.")
_TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


def read(folder: Path) -> Bert:
    """Returns the model in a folder.

    Raises:
        UserError: something is missing, damaged, unsafe or of another architecture.
    """
    path = folder / CONFIG
    kind = read_object(path).get("model_type")
    if kind != "bert":
        raise UserError(
            f"{path}: model_type is {kind!r}; only 'bert' can be converted, as other "
            "architectures compute something else"
        )
    config = read_encoder_config(path)
    tensors, notes = _read_tensors(folder)
    params = to_params(tensors, config, "hf", origin=str(folder))
    tokenizer = tokenizer_files.read(folder, vocab_size=config.vocab_size)
    return Bert(config, params, tokenizer, SentenceVector(), notes)


def write(folder: Path, bert: Bert, *, max_shard_bytes: int) -> None:
    """Writes the model into an existing folder."""
    kind = _class_for(bert.params)
    tensors = from_params(bert.params, bert.config, "hf")
    if "mlm_head" not in bert.params:
        tensors = {name.removeprefix(_PREFIX): array for name, array in tensors.items()}
    write_weights(folder, tensors, max_shard_bytes=max_shard_bytes)
    fields = {
        "architectures": [kind],
        "model_type": "bert",
        **as_bert_config(bert.config),
        "layer_norm_eps": LAYER_NORM_EPSILON,
        "pad_token_id": bert.tokenizer.special.pad,
        "torch_dtype": "float32",
    }
    write_json(folder / CONFIG, fields)
    tokenizer_files.write(
        folder, bert.tokenizer, max_positions=bert.config.max_positions
    )


def _read_tensors(folder: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Returns the folder's tensors as `BertForPreTraining` calls them, and notes.

    Raises:
        UserError: as `read_weights`, or two tensors have one meaning and differ.
    """
    tensors = _modern_names(read_weights(folder), folder)
    dropped = left_behind(tensors, "hf")
    kept = {name: array for name, array in tensors.items() if name not in dropped}
    floats, cast = as_float32(kept, origin=str(folder))
    left = [f"left behind: {name} ({what})" for name, what in dropped.items()]
    return _untied(floats, folder), (*left, *([cast] if cast else []))


def _class_for(parts: Collection[str]) -> str:
    """Returns the class that takes these parts, so that it loads without a word."""
    if "mlm_head" not in parts:
        return "BertModel"
    return "BertForPreTraining" if "next_sentence" in parts else "BertForMaskedLM"


def _modern_names(
    tensors: Mapping[str, np.ndarray], folder: Path
) -> dict[str, np.ndarray]:
    renamed: dict[str, np.ndarray] = {}
    for name, array in tensors.items():
        modern = name
        if name.startswith(_ENCODER):
            modern = _PREFIX + name
        # TensorFlow's words, in files of 2018 and 2019.
        modern = modern.replace("LayerNorm.gamma", "LayerNorm.weight")
        modern = modern.replace("LayerNorm.beta", "LayerNorm.bias")
        if modern in renamed:
            raise UserError(
                f"{folder}: has {modern} twice, once as {name}; use an intact copy"
            )
        renamed[modern] = array
    return renamed


def _untied(tensors: Mapping[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    """Returns the tensors with each tied one under one name."""
    single = dict(tensors)
    for copy, original in _TIED.items():
        if copy not in single:
            continue
        array = single.pop(copy)
        if not np.array_equal(single.setdefault(original, array), array):
            raise UserError(
                f"{folder}: {copy} is not {original}; only models that tie the two, as "
                "BERT does, can be converted"
            )
    return single
