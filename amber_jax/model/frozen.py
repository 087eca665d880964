"""Layers that training leaves as they are."""

from typing import Any

import jax
import jax.numpy as jnp

from amber_jax.types import Array, Params


def at_or_above(params: Params, lowest: int) -> Any:
    """Whether a parameter is of layer `lowest` or above it.

    A tree like `params`, of arrays of bools that broadcast to them. Layers count as in
    `EncoderOutput.readouts`: 0 is the embeddings, n the nth layer. Heads are above the
    encoder.

    Args:
        params: a model's parameters, the encoder's as `params["encoder"]`.
        lowest: the layer.
    """

    def above(path: tuple[Any, ...], param: Array) -> Array:
        part, *rest = (entry.key for entry in path)
        if part != "encoder":
            return jnp.array(True)
        if rest[0] == "embeddings":
            return jnp.array(lowest <= 0)
        layers = 1 + jnp.arange(len(param))  # the first axis is the layers
        return (layers >= lowest).reshape(-1, *[1] * (param.ndim - 1))

    return jax.tree_util.tree_map_with_path(above, params)


def without_gradient_below(params: Params, lowest: int) -> Params:
    """`params`, through which no gradient goes to layers below `lowest`.

    Layers count as in `at_or_above`, and `params` are as there.
    """
    if lowest <= 0:
        return params
    encoder = params["encoder"]
    frozen = lowest - 1  # layers
    layers = jax.tree.map(
        lambda x: jnp.concatenate([jax.lax.stop_gradient(x[:frozen]), x[frozen:]]),
        encoder["layers"],
    )
    embeddings = jax.lax.stop_gradient(encoder["embeddings"])
    below = {"embeddings": embeddings, "layers": layers}
    return {**params, "encoder": {**encoder, **below}}
