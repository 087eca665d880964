"""What a sentence's vector is made of: the one answer of training, files and search."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

POOLINGS = ("mean", "first", "pooler")


class SentenceVector(NamedTuple):
    """Which tokens of which layer make a sentence's vector."""

    layer: int = -1  # -1: the last; 0: the embeddings; n: the output of layer n
    # "first" is the vector of [CLS], "pooler" BERT's dense and tanh of it.
    pooling: str = "mean"
    special_tokens: bool = False  # whether [CLS] and [SEP] count in the mean

    def numbered(self, num_layers: int) -> "SentenceVector":
        """The same vector of a model of that depth, its layer never -1."""
        return self._replace(layer=num_layers) if self.layer == -1 else self


@dataclasses.dataclass(frozen=True)
class EncodingDefaults:
    """How a model wants its sentences, and what it makes of their vectors.

    It comes with models of elsewhere and stays with what is trained from them.
    """

    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Texts to put before sentences, by what the sentences are for."""
    default_prompt: str | None = None  # a name of `prompts`
    max_length: int | None = None  # tokens, specials included; None: all positions
    normalize: bool = False  # scale vectors to length 1
