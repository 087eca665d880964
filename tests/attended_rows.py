"""Rows of every sort that attention meets, and seeds of their dropout."""

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.model import rows
from amber_jax.training.parallel import build_backend

# Spans of rows of one pair, of sixteen, of a lone text, of nothing, and of a mixture.
SPANS = {
    "one": [(20, 13)],
    "sixteen": [(1, 1)] * 15 + [(2, 1)],
    "lone": [(9, 0), (4, 0)],
    "empty": [],
    "mixed": [(3, 2), (5, 0), (4, 11)],
}


def masks_of(length, *, directed, times=1):
    """Of rows whose spans are so many times as long."""
    spans = np.zeros((len(SPANS), 16, 2), np.int32)
    for row, pairs in enumerate(SPANS.values()):
        spans[row, : len(pairs)] = np.reshape(pairs, (-1, 2))
    place = rows.layout(times * spans, length)
    mask_of = rows.directed_attention if directed else rows.full_attention
    return mask_of(place)


def three_of(mask, *, heads, width, dtype=jnp.float32):
    """Random query, key and value, [3, B, L, H, K]."""
    shape = (3, *mask.pair_ids.shape, heads, width)
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


def heads_of(mask, **sizes):
    """The same as attention takes them, [B, L, 3, H, K]."""
    return stacked(three_of(mask, **sizes))


def stacked(three):
    """Query, key and value [3, B, L, H, K] as attention takes them."""
    return jnp.stack(list(three), axis=2)


def mixed_and_gradient(attend, heads):
    """What is attended, and a gradient to which every entry of it adds."""

    def number(heads):
        mixed = attend(heads)
        factors = jnp.cos(jnp.arange(mixed.size, dtype=jnp.float32))
        return (jnp.sin(mixed.astype(jnp.float32)).ravel() @ factors), mixed

    gradient, mixed = jax.jit(jax.grad(number, has_aux=True))(heads)
    return mixed, gradient


def on_four_devices(run, batch, backend, *, fsdp):
    """What `run` returns of a batch when four devices have a quarter of it each."""

    def step(state, batch, _, axis_name=None):
        mixed = run(*batch)
        if axis_name:
            mixed = jax.lax.all_gather(mixed, axis_name, tiled=True)
        return state, mixed

    devices = build_backend(backend, fsdp=fsdp, num_devices=4)
    state = jnp.zeros(())
    compiled = devices.compile(step, state)
    _, mixed = compiled(state, devices.put_batch(batch), jnp.zeros(()))
    return mixed


SEEDS = jnp.asarray(
    np.random.default_rng(1).integers(0, 2**32, (len(SPANS), 2), np.uint32)
)
