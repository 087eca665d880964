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


Objective = Callable[..., dict[str, WeightedSum]]
"""`(params, batch, key, *, train, axis_name) -> {name: WeightedSum}`."""
