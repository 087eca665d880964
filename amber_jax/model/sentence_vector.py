"""What a sentence's vector is made of: the one answer of training, files and search."""

from typing import NamedTuple

POOLINGS = ("mean", "first")


class SentenceVector(NamedTuple):
    """Which tokens of which layer make a sentence's vector."""

    layer: int = -1  # -1: the last; 0: the embeddings; n: the output of layer n
    pooling: str = "mean"  # or "first", the vector of [CLS]
    special_tokens: bool = False  # whether [CLS] and [SEP] count in the mean

    def numbered(self, num_layers: int) -> "SentenceVector":
        """The same vector of a model of that depth, its layer never -1."""
        return self._replace(layer=num_layers) if self.layer == -1 else self
