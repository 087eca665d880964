"""Attention of a row over itself, by whichever kernel suits the machine."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from amber_jax.types import Array

MASKED_SCORE = -1e9  # finite, so a query with no key gives no NaN
_FUSED_LENGTH, _FUSED_HEAD, _LARGEST_HEAD = 64, 8, 128  # what cuDNN takes
_OLDEST_CAPABILITY = 8.0  # Ampere's


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
    drop: Callable[[Array], Array] | None,
) -> Array:
    """Returns the values that each token attends, mixed, [B, L, H, K].

    On a GPU, 16-bit rows go through cuDNN's fused attention, which never writes the
    probabilities to memory; it knows no dropout, so with dropout they are written.

    Args:
        query: [B, L, H, K], as are the next two.
        key: what tokens are attended by.
        value: what is mixed.
        mask: [B, L, L] bool.
        drop: dropout of the probabilities; None for none.
    """
    if drop is None and _cudnn_takes(query):
        return jax.nn.dot_product_attention(
            query, key, value, mask=mask[:, None], implementation="cudnn"
        )
    probs = probabilities(query, key, mask)
    if drop is not None:
        probs = drop(probs)
    return jnp.einsum("bhqs,bshk->bqhk", probs.astype(value.dtype), value)


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
