"""Attention of a row over itself, by whichever kernel suits the machine."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from amber_jax.types import Array

MASKED_SCORE = -1e9  # finite, so a query with no key gives no NaN
_FUSED_LENGTH, _FUSED_HEAD = 64, 8  # what cuDNN takes multiples of
_LARGEST_HEAD = 128  # of cuDNN; Pallas takes multiples of it, too
_OLDEST_CAPABILITY = 8.0  # Ampere's
# In shorter rows attention is a few percent of the arithmetic, and its probabilities
# fit; where the kernel begins to win was not measured.
_LONG_ROW = 512  # tokens
_TPU_BLOCKS = (512, 256, 128)  # tokens, what Pallas' kernel can go by


def split_heads(x: Array, num_heads: int) -> Array:
    """Returns [..., H, K] from [..., D]."""
    return x.reshape(*x.shape[:-1], num_heads, -1)


def probabilities(query: Array, key: Array, mask: Array) -> Array:
    """Returns what each token attends, [B, H, L, L] float32, rows are queries.

    Args:
        query: [B, L, H, K].
        key: [B, L, H, K].
        mask: [B, L, L] bool, whether query token q may attend key token s.
    """
    scale = query.shape[-1] ** -0.5
    exact = {"preferred_element_type": jnp.float32}
    scores = jnp.einsum("bqhk,bshk->bhqs", query, key, **exact)
    return jax.nn.softmax(jnp.where(mask[:, None], scores * scale, MASKED_SCORE))


def attend(
    query: Array,
    key: Array,
    value: Array,
    mask: Array,
    *,
    pair_ids: Array | None,
    drop: Callable[[Array], Array] | None,
) -> Array:
    """Returns the values that each token attends, mixed, [B, L, H, K].

    Two kernels never write the probabilities to memory: on a GPU cuDNN's, for 16-bit
    rows, and on a TPU Pallas', for long rows in which tokens see exactly their pair.
    They know no dropout, so with dropout probabilities are written.

    Args:
        query: [B, L, H, K], as are the next two.
        key: what tokens are attended by.
        value: what is mixed.
        mask: [B, L, L] bool.
        pair_ids: [B, L] int32, if the mask says just that equal numbers above 0 see
            each other; None if it says more.
        drop: dropout of the probabilities; None for none.
    """
    if drop is None and pair_ids is not None and _tpu_takes(query):
        return _on_every_device(_attend_pairs)(query, key, value, pair_ids)
    if drop is None and _cudnn_takes(query):
        return jax.nn.dot_product_attention(
            query, key, value, mask=mask[:, None], implementation="cudnn"
        )
    return mix(probabilities(query, key, mask), value, drop=drop)


def mix(probs: Array, value: Array, *, drop: Callable[[Array], Array] | None) -> Array:
    """Returns the means of `value` [B, L, H, K] by `probs` [B, H, L, L], [B, L, H, K].

    Args:
        probs: float32, rows are queries.
        value: what is mixed.
        drop: as in `attend`.
    """
    if drop is not None:
        probs = drop(probs)
    return jnp.einsum("bhqs,bshk->bqhk", probs.astype(value.dtype), value)


def _tpu_takes(query: Array) -> bool:
    _, length, _, head = query.shape
    fits = length >= _LONG_ROW and not length % min(_TPU_BLOCKS)
    fits &= head <= _LARGEST_HEAD or not head % _LARGEST_HEAD
    return fits and jax.default_backend() == "tpu"


def _attend_pairs(query: Array, key: Array, value: Array, pair_ids: Array) -> Array:
    # Imported here, because that takes a quarter of a second of every start.
    from jax.experimental.pallas.ops.tpu import flash_attention as tpu_kernel

    # The kernel wants [B, H, L, K].
    heads_first = (x.swapaxes(1, 2) for x in (query, key, value))
    tokens = next(one for one in _TPU_BLOCKS if not query.shape[1] % one)
    sizes = [field.name for field in dataclasses.fields(tpu_kernel.BlockSizes)]
    mixed = tpu_kernel.flash_attention(
        *heads_first,
        segment_ids=tpu_kernel.SegmentIds(pair_ids, pair_ids),
        sm_scale=query.shape[-1] ** -0.5,
        block_sizes=tpu_kernel.BlockSizes(
            **dict.fromkeys(sizes, tokens) | {"block_b": 1}
        ),
    )
    return mixed.swapaxes(1, 2)


def _on_every_device(function: Callable[..., Array]) -> Callable[..., Array]:
    """Returns `function`, run by every device on its own rows.

    The compiler cannot divide a hand-written kernel. Under `jit` over several devices
    the step is traced with their mesh around it; under `pmap` there is nothing to do.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if not mesh.auto_axes:
        return function
    rows = PartitionSpec(mesh.auto_axes)
    return jax.shard_map(function, in_specs=rows, out_specs=rows, check_vma=False)


def _cudnn_takes(query: Array) -> bool:
    _, length, _, head = query.shape
    fits = not length % _FUSED_LENGTH and not head % _FUSED_HEAD
    narrow = query.dtype in (jnp.bfloat16, jnp.float16)
    if not (narrow and fits and head <= _LARGEST_HEAD):
        return False
    if jax.default_backend() != "gpu":
        return False
    # Other makers' GPUs have no such number, and older ones no such kernel.
    capability = getattr(jax.local_devices()[0], "compute_capability", "0")
    return float(capability) >= _OLDEST_CAPABILITY
