"""Names shared by every layer.

Dimension letters: B rows, L tokens of a row, N pairs of a row, P prediction slots,
D hidden size, H heads, K head size, F feed-forward size, V vocabulary, C candidates.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

Array = jax.Array
Params = Mapping[str, Any]
Batch = Mapping[str, Mapping[str, Array]]


class WeightedSum(NamedTuple):
    """A mean that has not been divided yet.

    Losses and scores travel as this pair, so that summing over devices and
    micro-batches and dividing once gives the mean over the global batch.
    """

    total: Array  # [] float32: sum over this device's units (nats, hits, ...)
    weight: Array  # [] float32: how many units were summed


class Objective(NamedTuple):
    """The losses of a batch, in two halves.

    What examples say one by one can be summed over parts of a batch; what compares
    them with each other needs the embeddings of all, and nothing else of them.
    """

    apart: Callable[..., tuple[dict[str, WeightedSum], Any]]
    """`(params, batch, key, *, train) -> (terms, embeddings)`; embeddings are a tree
    of float32 arrays with one example a row, empty if `together` needs none. The key
    is one for all rows of a step, wherever they are."""

    together: Callable[..., dict[str, WeightedSum]]
    """`(embeddings, *, axis_name) -> terms`, of the examples of all devices."""

    def __call__(
        self,
        params: Params,
        batch: Batch,
        key: Array,
        *,
        train: bool,
        axis_name: str | None,
    ) -> dict[str, WeightedSum]:
        """Returns all terms of a batch that is processed at once."""
        terms, embeddings = self.apart(params, batch, key, train=train)
        return terms | self.together(embeddings, axis_name=axis_name)


def independent(terms: Callable[..., dict[str, WeightedSum]]) -> Objective:
    """Returns the objective of losses that compare no example with another.

    Args:
        terms: `(params, batch, key, *, train) -> terms`.
    """
    return Objective(
        apart=lambda *args, train: (terms(*args, train=train), ()),
        together=lambda _, *, axis_name: {},
    )
