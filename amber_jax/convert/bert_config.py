"""A BERT's config.json or bert_config.json, whose fields have the same names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amber_jax.errors import UserError
from amber_jax.model.encoder import EncoderConfig
from amber_jax.tokenization.json_files import read_object

_SIZES = {
    "vocab_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "num_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "num_segments": "type_vocab_size",
}
_SHARES = {
    "hidden_dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "initializer_range": "initializer_range",
}
_EPSILON = "layer_norm_eps"
EPSILON = 1e-12  # where none is given, as in google-research/bert
# What makes another model of the same parameters. A field that is not there has the
# value here, as in `BertConfig` of huggingface/transformers.
_MUST_BE: dict[str, Any] = {
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
    "auto_map": None,  # code of its own
    "quantization_config": None,
}


def read_encoder_config(path: Path) -> EncoderConfig:
    """Returns the encoder of a config.json or bert_config.json, as a BERT has it.

    Raises:
        UserError: unreadable, or of a model that this encoder is not.
    """
    fields = read_object(path)
    for field, wanted in _MUST_BE.items():
        if fields.get(field, wanted) != wanted:
            raise UserError(
                f"{path}: {field} is {fields[field]!r}; only BERT's own architecture "
                f"can be converted, with {field} {wanted!r}"
            )
    sizes = {ours: _size(fields, field, path) for ours, field in _SIZES.items()}
    if sizes["hidden_size"] % sizes["num_heads"]:
        raise UserError(
            f"{path}: hidden_size {sizes['hidden_size']} is not a multiple of "
            f"num_attention_heads {sizes['num_heads']}; use an intact copy"
        )
    shares = {ours: _share(fields, field, path) for ours, field in _SHARES.items()}
    epsilon = _share({_EPSILON: EPSILON} | fields, _EPSILON, path)
    return EncoderConfig(
        **sizes,
        **shares,
        dtype="float32",
        remat=False,
        layer_norm_epsilon=epsilon,
    )


def as_bert_config(config: EncoderConfig) -> dict[str, Any]:
    """Returns the fields that both formats have in common."""
    names = _SIZES | _SHARES
    fields = {theirs: getattr(config, ours) for ours, theirs in names.items()}
    return fields | {"hidden_act": "gelu"}


def _size(fields: Mapping[str, Any], field: str, path: Path) -> int:
    value = fields.get(field)
    if type(value) is not int or value < 1:
        raise UserError(
            f"{path}: {field} is {value!r}; wanted a number above 0, as every BERT has"
        )
    return value


def _share(fields: Mapping[str, Any], field: str, path: Path) -> float:
    value = fields.get(field)
    if type(value) not in (int, float) or not 0 <= value < 1:
        raise UserError(
            f"{path}: {field} is {value!r}; wanted a number from 0 to below 1"
        )
    return float(value)
