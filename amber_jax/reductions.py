"""What a step says to other devices; nothing else inside a step does.

`axis_name` is the axis over which `pmap` or `shard_map` maps the step. It is None where
the compiler divides the step, or one device has all of it: there arrays are global
already, and every function here is the identity.
"""

from typing import Any

import jax
import jax.numpy as jnp

from amber_jax.types import Array

AXIS = "data"


def reduce_sum(tree: Any, axis_name: str | None) -> Any:
    """Returns `tree` summed over the devices of `axis_name`."""
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def gather_batch(x: Array, axis_name: str | None) -> Array:
    """Returns the rows of all devices: [B, ...] -> [global B, ...]."""
    if axis_name is None:
        return x
    return jax.lax.all_gather(x, axis_name, tiled=True)


def row_offset(num_rows: int, axis_name: str | None) -> Array:
    """Returns the place of this device's first row in `gather_batch`, [] int32."""
    if axis_name is None:
        return jnp.int32(0)
    return jax.lax.axis_index(axis_name) * num_rows
