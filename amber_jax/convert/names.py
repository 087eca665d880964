"""The one table of parameter names: ours, Hugging Face's and Google's.

Both directions of every conversion read it. Hugging Face's kernels are [out, in],
Google's are [in, out] like ours; both have one array a layer where we have one array
for all layers, stacked on axis 0.

Source: `BertForPreTraining` and `XLMRobertaForMaskedLM` of huggingface/transformers,
google-research/bert.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np
from flax import traverse_util

from amber_jax.errors import UserError
from amber_jax.model.encoder import EncoderConfig
from amber_jax.types import Params

Dialect = Literal["hf", "roberta", "tf1"]  # BERT's, XLM-R's, Google's BERT's
_NAMES_IN_A_SENTENCE = 8
# Of XLM-R in the place of BERT's, the longer ones first. It has no next-sentence head.
_ROBERTA = {
    "cls.predictions.transform.LayerNorm": "lm_head.layer_norm",
    "cls.predictions.transform.dense": "lm_head.dense",
    "cls.predictions": "lm_head",
    "bert.": "roberta.",
}


class Name(NamedTuple):
    """One parameter; `{n}` stands for the layer."""

    ours: str
    shape: str  # V words, P positions, S segments, D hidden, F intermediate, 2
    hf: str
    tf1: str

    @property
    def roberta(self) -> str:
        """Hugging Face's name of it in an XLM-R."""
        name = self.hf
        for bert, roberta in _ROBERTA.items():
            name = name.replace(bert, roberta)
        return name

    @property
    def part(self) -> str:
        """The part of the model it belongs to."""
        return self.ours.split("/")[0]

    @property
    def stacked(self) -> bool:
        """Whether axis 0 of our array is the layer."""
        return "{n}" in self.hf

    def turned(self, dialect: Dialect) -> bool:
        """Whether the dialect has it transposed."""
        return dialect != "tf1" and self.ours.endswith("/kernel")


def _dense(ours: str, shape: str, hf: str, tf1: str) -> tuple[Name, Name]:
    return (
        Name(f"{ours}/kernel", shape, f"{hf}.weight", f"{tf1}/kernel"),
        Name(f"{ours}/bias", shape[1], f"{hf}.bias", f"{tf1}/bias"),
    )


def _norm(ours: str, hf: str, tf1: str) -> tuple[Name, Name]:
    return (
        Name(f"{ours}/scale", "D", f"{hf}.weight", f"{tf1}/gamma"),
        Name(f"{ours}/bias", "D", f"{hf}.bias", f"{tf1}/beta"),
    )


def _layer() -> Iterator[Name]:
    ours = "encoder/layers/layer"
    hf, tf1 = "bert.encoder.layer.{n}", "bert/encoder/layer_{n}"
    for part in ("query", "key", "value"):
        yield from _dense(
            f"{ours}/attention/{part}",
            "DD",
            f"{hf}.attention.self.{part}",
            f"{tf1}/attention/self/{part}",
        )
    for module, shape, other in (
        ("attention/output", "DD", "attention.output"),
        ("intermediate", "DF", "intermediate"),
        ("output", "FD", "output"),
    ):
        yield from _dense(
            f"{ours}/{module}",
            shape,
            f"{hf}.{other}.dense",
            f"{tf1}/{other.replace('.', '/')}/dense",
        )
    for module, other in (
        ("attention_norm", "attention.output"),
        ("output_norm", "output"),
    ):
        yield from _norm(
            f"{ours}/{module}",
            f"{hf}.{other}.LayerNorm",
            f"{tf1}/{other.replace('.', '/')}/LayerNorm",
        )


def _embedding(ours: str, shape: str, theirs: str) -> Name:
    return Name(
        f"encoder/embeddings/{ours}/embedding",
        shape,
        f"bert.embeddings.{theirs}.weight",
        f"bert/embeddings/{theirs}",
    )


TABLE: tuple[Name, ...] = (
    _embedding("word", "VD", "word_embeddings"),
    _embedding("position", "PD", "position_embeddings"),
    _embedding("segment", "SD", "token_type_embeddings"),
    *_norm(
        "encoder/embeddings/norm",
        "bert.embeddings.LayerNorm",
        "bert/embeddings/LayerNorm",
    ),
    *_layer(),
    *_dense(
        "mlm_head/transform",
        "DD",
        "cls.predictions.transform.dense",
        "cls/predictions/transform/dense",
    ),
    *_norm(
        "mlm_head/norm",
        "cls.predictions.transform.LayerNorm",
        "cls/predictions/transform/LayerNorm",
    ),
    Name("mlm_head/bias", "V", "cls.predictions.bias", "cls/predictions/output_bias"),
    *_dense("pooler", "DD", "bert.pooler.dense", "bert/pooler/dense"),
    # Nothing here uses it; kept, so that a BERT leaves as whole as it came. Both
    # formats have it as [2, D].
    Name(
        "next_sentence/weights",
        "2D",
        "cls.seq_relationship.weight",
        "cls/seq_relationship/output_weights",
    ),
    Name(
        "next_sentence/bias",
        "2",
        "cls.seq_relationship.bias",
        "cls/seq_relationship/output_bias",
    ),
)

LEFT_BEHIND: dict[Dialect, dict[str, str]] = {
    **{
        dialect: {rf"{name}\.embeddings\.(position|token_type)_ids": "counting buffer"}
        for dialect, name in (("hf", "bert"), ("roberta", "roberta"))
    },
    "tf1": {
        r"(.*/)?beta[12]_power(_\d+)?": "optimizer memory",
        r"global_step": "step counter",
    },
}
"""Names (regular expressions) without a place in ours, and what they are.

Besides these, TensorFlow's optimizers keep their slots of a variable under its name, as
`VARIABLE/adam_m` or `VARIABLE/Adam_1`.
"""


def to_params(
    tensors: Mapping[str, np.ndarray],
    config: EncoderConfig,
    dialect: Dialect,
    *,
    origin: str,
) -> Params:
    """Returns our parameters, float32, with every part that has a tensor.

    Args:
        tensors: float arrays by their names in the dialect, `left_behind` ones gone.
        config: the sizes they must have.
        dialect: whose names they are.
        origin: names the file in errors.

    Raises:
        UserError: tensors are missing, unexpected or of another shape; all are named.
    """
    if config.num_layers > len(tensors):
        raise UserError(
            f"{origin}: has {len(tensors)} arrays, too few for the {config.num_layers} "
            "layers that its configuration names; use files that belong together"
        )
    theirs = {name: getattr(name, dialect) for name in TABLE}
    parts = {"encoder"} | {name.part for name in TABLE if theirs[name] in tensors}
    wanted = expected_shapes(config, dialect, parts)
    problems = list(_problems(tensors, wanted))
    if problems:
        raise UserError(
            f"{origin}: does not fit a BERT of its configuration: "
            f"{'; '.join(problems)}; nothing was written"
        )
    flat = {
        name.ours: _gather(tensors, name, config, dialect)
        for name in TABLE
        if name.part in parts
    }
    return traverse_util.unflatten_dict(flat, sep="/")


def from_params(
    params: Params, config: EncoderConfig, dialect: Dialect
) -> dict[str, np.ndarray]:
    """Returns our parameters as the dialect's tensors, one array a layer.

    Parts that the table does not know, as the head of a task, are not among them.
    """
    flat = traverse_util.flatten_dict(params, sep="/")
    tensors = {}
    for name in TABLE:
        if name.ours not in flat:
            continue
        array = np.asarray(flat[name.ours], np.float32)
        layers = array if name.stacked else array[None]
        for theirs, layer in zip(_spell(name, config, dialect), layers, strict=True):
            turned = layer.T if name.turned(dialect) else layer
            tensors[theirs] = np.ascontiguousarray(turned)
    return tensors


def left_behind(names: Collection[str], dialect: Dialect) -> dict[str, str]:
    """Returns {name: what it is} of the tensors that have no place in ours."""
    dropped = {
        name: what
        for name in names
        for pattern, what in LEFT_BEHIND[dialect].items()
        if re.fullmatch(pattern, name)
    }
    if dialect == "tf1":
        variables = set(names)
        slots = [name for name in names if name.rpartition("/")[0] in variables]
        dropped |= dict.fromkeys(slots, "optimizer memory")
    return dropped


def expected_shapes(
    config: EncoderConfig, dialect: Dialect, parts: Collection[str]
) -> dict[str, tuple[int, ...]]:
    """Returns {name in the dialect: shape there} of all tensors of the parts."""
    sizes = {
        "V": config.vocab_size,
        "P": config.max_positions,
        "S": config.num_segments,
        "D": config.hidden_size,
        "F": config.intermediate_size,
        "2": 2,
    }
    shapes = {}
    for name in TABLE:
        if name.part in parts:
            letters = name.shape[::-1] if name.turned(dialect) else name.shape
            shape = tuple(sizes[letter] for letter in letters)
            shapes |= dict.fromkeys(_spell(name, config, dialect), shape)
    return shapes


def _spell(name: Name, config: EncoderConfig, dialect: Dialect) -> list[str]:
    """Returns the dialect's name or, of a parameter of layers, all its names."""
    theirs = getattr(name, dialect)
    if not name.stacked:
        return [theirs]
    return [theirs.format(n=n) for n in range(config.num_layers)]


def _gather(
    tensors: Mapping[str, np.ndarray],
    name: Name,
    config: EncoderConfig,
    dialect: Dialect,
) -> np.ndarray:
    arrays = [tensors[theirs] for theirs in _spell(name, config, dialect)]
    if name.turned(dialect):
        arrays = [array.T for array in arrays]
    return np.stack(arrays) if name.stacked else np.ascontiguousarray(arrays[0])


def _problems(
    tensors: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]
) -> Iterator[str]:
    missing = [name for name in wanted if name not in tensors]
    unexpected = [name for name in tensors if name not in wanted]
    wrong = [
        f"{name} {list(tensors[name].shape)} instead of {list(shape)}"
        for name, shape in wanted.items()
        if name in tensors and tensors[name].shape != shape
    ]
    for kind, names in (
        ("missing", missing),
        ("unexpected", unexpected),
        ("of another shape", wrong),
    ):
        if names:
            yield f"{len(names)} {kind}: {listed(names)}"


def listed(names: Collection[str]) -> str:
    """Returns the first names, with commas, and how many more there are."""
    first = list(names)[:_NAMES_IN_A_SENTENCE]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


def known_parts() -> set[str]:
    """Returns the names of the parts that can be converted."""
    return {name.part for name in TABLE}
