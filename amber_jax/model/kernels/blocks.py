"""Which blocks of a row a kernel has to compute."""

import jax.numpy as jnp

from amber_jax.types import Array


def visited_blocks(dense: Array, own: int, visited: int) -> Array | None:
    """The first block that each block visits, and the one behind the last.

    [B, ceil(L / own), 2] int32; None where there is but one to visit.

    Args:
        dense: [B, L, L] bool, whether a token of a block and one that is visited have
            anything to do with each other.
        own: tokens of a block.
        visited: tokens of a block that is visited.
    """
    batch, length, _ = dense.shape
    if length <= visited:
        return None
    dense = jnp.pad(dense, ((0, 0), (0, -length % own), (0, -length % visited)))
    rows, columns = dense.shape[1] // own, dense.shape[2] // visited
    meet = dense.reshape(batch, rows, own, columns, visited).any((2, 4))
    numbers = jnp.arange(columns, dtype=jnp.int32)
    first = jnp.where(meet, numbers, columns).min(-1)
    behind = jnp.where(meet, numbers + 1, 0).max(-1)
    return jnp.stack([jnp.minimum(first, behind), behind], axis=-1)
