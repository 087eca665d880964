"""A BERT or XLM-R outside of any format, as readers return and writers take it."""

import dataclasses
from collections.abc import Sequence

import jax

from amber_jax.errors import UserError
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.sentence_vector import EncodingDefaults, SentenceVector
from amber_jax.tokenization import Tokenizer
from amber_jax.types import Params


@dataclasses.dataclass(frozen=True)
class Bert:
    """A model with its tokenizer.

    `params` holds "encoder" and, where the model has them, "mlm_head", "pooler" and
    "next_sentence": NumPy float32 arrays under our names.
    """

    config: EncoderConfig
    params: Params
    tokenizer: Tokenizer
    sentence_vector: SentenceVector  # from the last layer
    encoding: EncodingDefaults = EncodingDefaults()
    notes: tuple[str, ...] = ()  # sentences about what is not as it was in the file


def first_layers(bert: Bert, layer: int) -> Bert:
    """Returns the model up to a layer; what stands on the last one is gone if cut.

    Args:
        bert: the whole model.
        layer: 1 to its number of layers, or -1 for all.

    Raises:
        UserError: it has no such layer.
    """
    depth = bert.config.num_layers
    if layer in (-1, depth):
        return bert
    if not 1 <= layer < depth:
        raise UserError(
            f"--layer is {layer}; the model has layers 1 to {depth}, and -1 is the last"
        )
    encoder = dict(bert.params["encoder"])
    encoder["layers"] = jax.tree.map(lambda leaf: leaf[:layer], encoder["layers"])
    return dataclasses.replace(
        bert,
        config=dataclasses.replace(bert.config, num_layers=layer),
        params={"encoder": encoder},
        sentence_vector=_without_pooler(bert.sentence_vector),
        notes=_without(bert, ("encoder",), f"it stands on layer {depth}"),
    )


def without_heads(bert: Bert) -> Bert:
    """Returns the encoder and pooler alone, which is all that makes vectors."""
    kept = ("encoder", "pooler")
    params = {part: bert.params[part] for part in kept if part in bert.params}
    notes = _without(bert, kept, "sentence-transformers have no place for it")
    return dataclasses.replace(bert, params=params, notes=notes)


def _without_pooler(vector: SentenceVector) -> SentenceVector:
    """Returns what is left of it: the vector that the pooler would have taken."""
    return vector._replace(pooling="first") if vector.pooling == "pooler" else vector


def _without(bert: Bert, kept: Sequence[str], why: str) -> tuple[str, ...]:
    left = [part for part in bert.params if part not in kept]
    return (*bert.notes, *(f"left behind: {part}, {why}" for part in left))
