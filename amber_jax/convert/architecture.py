"""The two architectures of Hugging Face's folders, BERT's and XLM-R's.

Both are one encoder. An XLM-R counts its positions from the id of padding on, has no
next-sentence head, other names for its tensors, and no segment for a second sentence.
Which of the two a model is follows from its first position alone.

Source: `BertModel` and `XLMRobertaModel` of huggingface/transformers.
"""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from amber_jax.convert.bert_config import read_encoder_config
from amber_jax.convert.names import Dialect
from amber_jax.errors import UserError
from amber_jax.model.encoder import EncoderConfig
from amber_jax.tokenization.json_files import read_object, read_optional
from amber_jax.tokenization.roles import steps_of
from amber_jax.tokenization.tokenizer import CONFIG_FILE

CONFIG = "config.json"
_TOKENIZER = "tokenizer.json"
_PADDING = 1  # XLM-R's, where none is given


class Architecture(NamedTuple):
    """What a folder calls its model and the parts of it."""

    model_type: str
    dialect: Dialect
    prefix: str  # of the encoder's tensors in a model with heads
    head: str  # what the MLM head's tensors begin with
    classes: str  # what the names of its classes begin with

    def class_for(self, parts: Collection[str]) -> str:
        """The class that takes these parts, so that it loads without a word."""
        if "mlm_head" not in parts:
            return f"{self.classes}Model"
        of_both = "next_sentence" in parts
        return f"{self.classes}{'ForPreTraining' if of_both else 'ForMaskedLM'}"


BERT = Architecture("bert", "hf", "bert.", "cls.predictions", "Bert")
XLM_R = Architecture("xlm-roberta", "roberta", "roberta.", "lm_head", "XLMRoberta")
_BY_TYPE = {kind.model_type: kind for kind in (BERT, XLM_R)}


def architecture_of(config: EncoderConfig) -> Architecture:
    """The architecture that has such an encoder."""
    return XLM_R if config.position_offset else BERT


def read_config(folder: Path) -> EncoderConfig:
    """The encoder of a folder.

    Raises:
        UserError: config.json cannot be read, or is of a model that this encoder is
            not.
    """
    path = folder / CONFIG
    fields = read_object(path)
    kind = _BY_TYPE.get(str(fields.get("model_type")))
    if kind is None:
        raise UserError(
            f"{path}: model_type is {fields.get('model_type')!r}; only "
            f"{' and '.join(map(repr, _BY_TYPE))} can be converted, as other "
            "architectures compute something else"
        )
    config = read_encoder_config(path)
    if kind is BERT:
        segment = min(_segment_of_second(folder, fields), config.num_segments - 1)
        return dataclasses.replace(config, second_segment=segment)
    offset = _padding_of(fields, path) + 1
    if config.max_positions <= offset:
        raise UserError(
            f"{path}: max_position_embeddings is {config.max_positions}; wanted more "
            f"than {offset}, as positions begin behind pad_token_id {offset - 1}"
        )
    return dataclasses.replace(config, position_offset=offset, second_segment=0)


def _padding_of(fields: Mapping[str, Any], path: Path) -> int:
    value = fields.get("pad_token_id", _PADDING)
    if type(value) is not int or value < 0:
        raise UserError(f"{path}: pad_token_id is {value!r}; wanted a number from 0 on")
    return value


def _segment_of_second(folder: Path, fields: Mapping[str, Any]) -> int:
    """The segment that a BERT's own tokenizer gives to the second of two sentences.

    XLM-R's vocabulary in a BERT, as multilingual E5 and MiniLM have it, uses one
    segment, although the model's table has two.
    """
    named = read_optional(folder / CONFIG_FILE).get("tokenizer_class")
    kind = str(named or fields.get("tokenizer_class"))
    if kind.startswith(("XLMRoberta", "Bert")):  # tokenizer.json takes seconds to read
        return 1 if kind.startswith("Bert") else 0
    for step in steps_of(read_optional(folder / _TOKENIZER).get("post_processor")):
        if step.get("type") == "RobertaProcessing":
            return 0
        template = step.get("pair")
        for entry in template if isinstance(template, list) else ():
            sentence = entry.get("Sequence") if isinstance(entry, Mapping) else None
            if isinstance(sentence, Mapping) and sentence.get("id") == "B":
                return 1 if sentence.get("type_id") else 0
    return 1
