"""An encoder without its loop: one compiled layer, called for every layer in turn.

A loop copies each layer's parameters out of their stack, batch after batch, and layers
side by side in one program take long to compile. Parameters here are apart already.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from amber_jax.model import rows
from amber_jax.model.encoder import Embeddings, EncoderConfig, Layer, apply
from amber_jax.types import Array, Params

States = Callable[[Params, Array, Array], Iterator[Array]]


def build_states(config: EncoderConfig, depth: int) -> States:
    """A function `(params, token_ids, span_lengths) -> states`, compiled in parts.

    params are an encoder's, see `layers_apart`; token_ids is [B, L] int32 and
    span_lengths [B, N, 2] int32. It yields the vectors of the embeddings and of `depth`
    layers, each [B, L, D], and each computed when it is asked for.
    """
    # Right to seven digits of the result, and a CPU takes a third of the time.
    kernels = dataclasses.replace(config.kernels, gelu="erf")
    config = dataclasses.replace(config, kernels=kernels)

    @jax.jit
    def embeddings(
        params: Params, token_ids: Array, span_lengths: Array
    ) -> tuple[Array, rows.Mask]:
        layout = rows.layout(span_lengths, token_ids.shape[1])
        x = apply(
            Embeddings(config), params, token_ids, layout.sides, layout.position_ids
        )
        return x, rows.full_attention(layout)

    @jax.jit
    def layer(params: Params, x: Array, mask: rows.Mask) -> Array:
        return apply(Layer(config), params, x, mask)

    def states(
        params: Params, token_ids: Array, span_lengths: Array
    ) -> Iterator[Array]:
        x, mask = embeddings(params["embeddings"], token_ids, span_lengths)
        yield x
        for of_layer in params["layers"][:depth]:
            x = layer(of_layer, x, mask)
            yield x

    return states


def layers_apart(params: Params) -> dict[str, Any]:
    """An encoder's parameters with a tuple of layers in place of their stack."""
    leaves, form = jax.tree.flatten(params["layers"]["layer"])
    layers = zip(*map(jnp.unstack, leaves), strict=True)
    return {
        "embeddings": params["embeddings"],
        "layers": tuple(jax.tree.unflatten(form, of_layer) for of_layer in layers),
    }
