"""Which format of another program a folder is in, and how it is read."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from amber_jax.convert import (
    architecture,
    huggingface,
    sentence_transformers,
    tensorflow_bert,
)
from amber_jax.convert.bert import Bert
from amber_jax.model.encoder import EncoderConfig


class Format(NamedTuple):
    """A format, whose functions raise UserError if a folder is not as they need it."""

    mark: (
        str  # a file that only its folders have, once the formats before are ruled out
    )
    read: Callable[[Path], Bert]
    read_config: Callable[[Path], EncoderConfig]  # without the weights


FORMATS = {
    "sentence-transformers": Format(
        "modules.json", sentence_transformers.read, sentence_transformers.read_config
    ),
    "hf": Format("config.json", huggingface.read, architecture.read_config),
    "tf1": Format(
        tensorflow_bert.CONFIG, tensorflow_bert.read, tensorflow_bert.read_config
    ),
}


def format_of(folder: Path) -> str | None:
    """Returns the format's name; None for a folder of none of them, or no folder."""
    for name, kind in FORMATS.items():
        if (folder / kind.mark).is_file():
            return name
    return None
