"""Google's folder of a BERT: bert_model.ckpt, bert_config.json, vocab.txt."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from amber_jax.convert import tokenizer_files
from amber_jax.convert.bert import Bert
from amber_jax.convert.bert_config import EPSILON, as_bert_config, read_encoder_config
from amber_jax.convert.names import from_params, left_behind, to_params
from amber_jax.convert.weights import as_float32
from amber_jax.errors import UserError, from_extra
from amber_jax.files import write_json, writing
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.sentence_vector import SentenceVector
from amber_jax.storage import local_copy
from amber_jax.tokenization import wordpiece

CONFIG, CHECKPOINT = "bert_config.json", "bert_model.ckpt"
_INDEX = ".index"
_OF_BERT = {
    "position_offset": 0,
    "second_segment": 1,
    "layer_norm_epsilon": EPSILON,
}
_TENSORFLOW = "train", "tf1 checkpoints are read and written with TensorFlow"


def read(folder: Path) -> Bert:
    """Returns the model in a folder.

    Raises:
        UserError: something is missing, damaged or of another architecture, or
            TensorFlow cannot be imported.
    """
    config = read_config(folder)
    prefix = _find_checkpoint(folder)
    tensors, notes = _read_tensors(prefix)
    params = to_params(tensors, config, "tf1", origin=str(prefix))
    tokenizer = tokenizer_files.read(folder, vocab_size=config.vocab_size)
    return Bert(config, params, tokenizer, SentenceVector(), notes=notes)


def read_config(folder: Path) -> EncoderConfig:
    """Returns the encoder of a folder.

    Raises:
        UserError: bert_config.json cannot be read, or is of no BERT.
    """
    config = read_encoder_config(folder / CONFIG)
    if config.layer_norm_epsilon != EPSILON:
        raise UserError(
            f"{folder / CONFIG}: layer_norm_eps is {config.layer_norm_epsilon}; "
            f"Google's BERT has {EPSILON} and its format no other"
        )
    return config


def write(folder: Path, bert: Bert) -> None:
    """Writes the model into an existing folder.

    Raises:
        UserError: it is no BERT or its tokenizer is not a WordPiece, and the format has
            no other, or TensorFlow cannot be imported.
    """
    with from_extra(*_TENSORFLOW):
        import tensorflow as tf

    _require_bert(bert.config)
    if not isinstance(bert.tokenizer, wordpiece.WordPieceTokenizer):
        raise UserError(
            "tf1 folders hold a WordPiece vocab.txt, and this model's tokenizer is a "
            "SentencePiece; convert it to hf or sentence-transformers"
        )
    tensors = from_params(bert.params, bert.config, "tf1")
    with writing(folder / CHECKPOINT, errors=tf.errors.OpError):
        tf.raw_ops.SaveV2(
            prefix=str(folder / CHECKPOINT),
            tensor_names=list(tensors),
            shape_and_slices=[""] * len(tensors),
            tensors=list(tensors.values()),
        )
    write_json(folder / CONFIG, as_bert_config(bert.config))
    tokenizer_files.write_vocabulary(folder, bert.tokenizer)


def _require_bert(config: EncoderConfig) -> None:
    """Refuses what the format cannot say: what Google's program does not do."""
    for name, wanted in _OF_BERT.items():
        setting = getattr(config, name)
        if setting != wanted:
            raise UserError(
                f"the model's {name} is {setting}, and tf1 folders are of BERTs, with "
                f"{name} {wanted}; convert it to hf or sentence-transformers"
            )


def _find_checkpoint(folder: Path) -> Path:
    if (folder / (CHECKPOINT + _INDEX)).is_file():
        return folder / CHECKPOINT
    indexes = sorted(folder.glob(f"*{_INDEX}"))
    if len(indexes) != 1:
        raise UserError(
            f"{folder}: has {len(indexes)} TensorFlow checkpoints (*{_INDEX}) and none "
            f"called {CHECKPOINT}; wanted that one, or one alone"
        )
    return indexes[0].with_name(indexes[0].name.removesuffix(_INDEX))


def _read_tensors(prefix: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    with from_extra(*_TENSORFLOW):
        import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(local_copy(prefix.parent) / prefix.name))
        shapes = reader.get_variable_to_shape_map()
        _require_enough_bytes(prefix, shapes)
        names = sorted(shapes)
        dropped = left_behind(names, "tf1")
        tensors = {name: _tensor(reader, name) for name in names if name not in dropped}
    except (tf.errors.OpError, RuntimeError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{prefix}: is not a readable TensorFlow checkpoint ({reason}); use an "
            "intact copy"
        ) from error
    floats, cast = as_float32(tensors, origin=str(prefix))
    kinds = sorted(set(dropped.values()))
    left = (
        [f"left behind: {len(dropped)} arrays ({', '.join(kinds)})"] if dropped else []
    )
    return floats, (*left, *([cast] if cast else []))


def _require_enough_bytes(prefix: Path, shapes: Mapping[str, list[int]]) -> None:
    """Refuses shapes that the files cannot hold, before memory is asked for them."""
    files = prefix.parent.glob(f"{prefix.name}.data-*")
    if sum(map(math.prod, shapes.values())) > sum(f.stat().st_size for f in files):
        raise ValueError("its shapes are larger than its files")


def _tensor(reader: Any, name: str) -> np.ndarray:
    value = reader.get_tensor(name)
    if not isinstance(value, np.ndarray | np.generic):  # text, for one
        raise ValueError(f"{name} is no array")
    return np.asarray(value)
