"""The BERT encoder, as mBERT has it, in Flax Linen.

Post-LayerNorm, exact GELU, learned positions, two segment types. Layers are stacked
with `nn.scan`: parameters of layer n are slice n of the arrays under `layers`.

Source: Devlin et al. 2019; sizes and constants from google-research/bert.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from amber_jax.model.activation import LayerNorm, gelu
from amber_jax.model.kernels import Kernels
from amber_jax.model.kernels.attention import attend, attend_with_probs
from amber_jax.model.kernels.dropout import derived, drop
from amber_jax.model.kernels.products import Dense, side_by_side
from amber_jax.model.rows import Mask
from amber_jax.types import Array, Params

_EMBEDDINGS = 0  # numbers of dropouts, of an encoder; layers have the next ones
_PROBABILITIES, _ATTENDED, _NARROW = range(3)  # of a layer


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """Sizes and switches of an encoder."""

    vocab_size: int
    num_layers: int
    hidden_size: int
    num_heads: int
    intermediate_size: int
    max_positions: int
    num_segments: int
    hidden_dropout: float  # probability
    attention_dropout: float  # probability
    initializer_range: float  # standard deviation of the truncated normal
    dtype: str  # of activations; parameters and statistics stay float32
    remat: bool  # recompute activations in the backward pass to save memory
    kernels: Kernels = Kernels()  # how it is computed, which is no part of the model

    def recorded(self) -> dict[str, Any]:
        """Returns what a checkpoint says of its model: all but the kernels."""
        fields = dataclasses.asdict(self)
        del fields["kernels"]
        return fields


class EncoderOutput(NamedTuple):
    """What one pass of the encoder gives."""

    hidden_states: Array  # [B, L, D] of the last layer
    all_hidden_states: Array | None  # [N + 1, B, L, D], embeddings first, if asked


def dense(config: EncoderConfig, inputs: int, features: int) -> Dense:
    """Returns a dense layer of an encoder, or of a head that stands on it."""
    return Dense(
        inputs,
        features,
        dtype=config.dtype,
        initializer_range=config.initializer_range,
        turned=config.kernels.tall_gradients == "turned",
    )


def _embed(config: EncoderConfig, entries: int, name: str) -> nn.Embed:
    return nn.Embed(
        entries,
        config.hidden_size,
        embedding_init=nn.initializers.truncated_normal(config.initializer_range),
        name=name,
    )


class Embeddings(nn.Module):
    """Sum of word, position and segment embeddings, normalised."""

    config: EncoderConfig

    @nn.compact
    def __call__(
        self,
        token_ids: Array,
        segment_ids: Array,
        position_ids: Array,
        seeds: Array | None = None,
    ) -> Array:
        """Returns [B, L, D] from three [B, L] int32 arrays and `Encoder`'s seeds."""
        config = self.config
        x = _embed(config, config.vocab_size, "word")(token_ids)
        x += _embed(config, config.max_positions, "position")(position_ids)
        segments = _embed(config, config.num_segments, "segment").embedding
        # A product: a lookup's gradient would be a scatter into these few rows.
        chosen = jax.nn.one_hot(segment_ids, config.num_segments, dtype=x.dtype)
        x += jnp.matmul(chosen, segments, precision=jax.lax.Precision.HIGHEST)
        x = LayerNorm(config.hidden_size, config.dtype, name="norm")(x)
        return drop(x, _part(seeds, _EMBEDDINGS), config.hidden_dropout)


class SelfAttention(nn.Module):
    """Multi-head attention of a row over itself."""

    config: EncoderConfig

    def setup(self) -> None:
        """Names the parts."""
        width = self.config.hidden_size
        self.query = dense(self.config, width, width)
        self.key = dense(self.config, width, width)
        self.value = dense(self.config, width, width)
        self.output = dense(self.config, width, width)

    def mixed(self, x: Array, mask: Mask, seeds: Array | None) -> Array:
        """Returns what `output` takes, [B, L, D]; arguments as `Layer.__call__`."""
        form = self.config.kernels.attention
        mixed = attend(self._heads(x), mask, **self._dropout(seeds), form=form)
        return mixed.reshape(x.shape)

    def mixed_with_probs(
        self, x: Array, mask: Mask, seeds: Array | None
    ) -> tuple[Array, Array]:
        """Returns that, and the probabilities before dropout, [B, H, L, L]."""
        mixed, probs = attend_with_probs(self._heads(x), mask, **self._dropout(seeds))
        return mixed.reshape(x.shape), probs

    def _heads(self, x: Array) -> Array:
        # [B, L, D] -> [B, L, 3, H, K]
        layers = self.query, self.key, self.value
        if self.config.kernels.heads == "together":
            parts = side_by_side(layers, x)
        else:
            parts = jnp.stack([layer(x) for layer in layers], axis=-2)
        heads = self.config.num_heads
        return parts.reshape(*x.shape[:-1], len(layers), heads, -1)

    def _dropout(self, seeds: Array | None) -> dict[str, Any]:
        rate = self.config.attention_dropout
        return {"seeds": _part(seeds, _PROBABILITIES), "rate": rate}


class Layer(nn.Module):
    """Attention and feed-forward blocks, each followed by add and LayerNorm."""

    config: EncoderConfig

    def setup(self) -> None:
        """Names the parts."""
        config = self.config
        width, wide = config.hidden_size, config.intermediate_size
        self.attention = SelfAttention(config)
        self.attention_norm = LayerNorm(width, config.dtype)
        self.intermediate = dense(config, width, wide)
        self.output = dense(config, wide, width)
        self.output_norm = LayerNorm(width, config.dtype)

    def __call__(self, x: Array, mask: Mask, seeds: Array | None = None) -> Array:
        """Returns [B, L, D] from x [B, L, D].

        Args:
            x: what the layer below gives.
            mask: who may attend whom.
            seeds: [B, 2] uint32, of this layer's dropouts; None for none.
        """
        return self._finish(x, self.attention.mixed(x, mask, seeds), seeds)

    def chosen_with_probs(
        self,
        x: Array,
        mask: Mask,
        choose: Callable[[Array], Array],
        seeds: Array | None = None,
        chosen_seeds: Array | None = None,
    ) -> tuple[Array, Array]:
        """Returns the layer's output at chosen tokens alone, and what all attend.

        Args:
            x: [B, L, D].
            mask: who may attend whom.
            choose: of what belongs to tokens, [B, L, D], what is wanted, [C, M, D].
            seeds: [B, 2] uint32, as of `__call__`.
            chosen_seeds: [C, 2] uint32, the same of the rows of chosen tokens.

        Returns:
            [C, M, D], and probabilities [B, H, L, L] in the activations' dtype.
        """
        mixed, probs = self.attention.mixed_with_probs(x, mask, seeds)
        return self._finish(choose(x), choose(mixed), chosen_seeds), probs

    def _finish(self, x: Array, mixed: Array, seeds: Array | None) -> Array:
        rate = self.config.hidden_dropout
        attended = self.attention.output(mixed)
        x = self.attention_norm(x + drop(attended, _part(seeds, _ATTENDED), rate))
        # [B, L, D] -> [B, L, F] -> [B, L, D]
        narrow = self.output(gelu(self.intermediate(x)))
        return self.output_norm(x + drop(narrow, _part(seeds, _NARROW), rate))


class _ScannedLayer(nn.Module):
    """A layer in the shape `nn.scan` wants."""

    config: EncoderConfig
    keep_hidden_states: bool

    @nn.compact
    def __call__(
        self, x: Array, seeds: Array | None, mask: Mask
    ) -> tuple[Array, Array | None]:
        y = Layer(self.config, name="layer")(x, mask, seeds)
        return y, (y if self.keep_hidden_states else None)


class Encoder(nn.Module):
    """Token ids to contextual vectors."""

    config: EncoderConfig

    @nn.compact
    def __call__(
        self,
        token_ids: Array,
        segment_ids: Array,
        position_ids: Array,
        mask: Mask,
        *,
        seeds: Array | None = None,
        keep_hidden_states: bool = False,
    ) -> EncoderOutput:
        """Encodes rows.

        Args:
            token_ids: [B, L] int32.
            segment_ids: [B, L] int32, 0 or 1.
            position_ids: [B, L] int32.
            mask: who may attend whom.
            seeds: [B, 2] uint32, `dropout.row_seeds` in training, None for no dropout.
            keep_hidden_states: whether to return every layer's output.
        """
        config = self.config
        x = Embeddings(config, name="embeddings")(
            token_ids, segment_ids, position_ids, seeds
        )
        body = _ScannedLayer
        if config.remat:
            body = nn.remat(body, prevent_cse=False)
        loop = config.remat or config.kernels.layers == "loop"
        layers = nn.scan(
            body,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(0, nn.broadcast),
            length=config.num_layers,
            unroll=1 if loop else config.num_layers,
        )(config, keep_hidden_states, name="layers")
        last, kept = layers(x, _seeds_of_layers(seeds, config.num_layers), mask)
        if kept is not None:
            kept = jnp.concatenate([x[None], kept])
        return EncoderOutput(last, kept)


def apply(module: nn.Module, params: Params, *arguments: Any, **options: Any) -> Any:
    """Returns what a module, which keeps nothing but parameters, makes of arguments."""
    return module.apply({"params": params}, *arguments, **options)


def _part(seeds: Array | None, number: Array | int) -> Array | None:
    return None if seeds is None else derived(seeds, number)


def layer_seeds(seeds: Array | None, layer: Array | int) -> Array | None:
    """Returns the seeds of a layer's dropouts, [B, 2] uint32, from an encoder's.

    Layers count from 1; what stands on the encoder is the one above the last.
    """
    return _part(seeds, layer)


def _seeds_of_layers(seeds: Array | None, num_layers: int) -> Array | None:
    """Returns [N, B, 2] uint32."""
    if seeds is None:
        return None
    return jax.vmap(derived, (None, 0))(seeds, jnp.arange(1, num_layers + 1))


def at_or_above(params: Params, lowest: int) -> Any:
    """Returns whether a parameter is of layer `lowest` or above it.

    A tree like `params`, of arrays of bools that broadcast to them. Layers count as in
    `EncoderOutput.all_hidden_states`: 0 is the embeddings, n the nth layer. What is
    not of the encoder is above it.

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
        numbers = 1 + jnp.arange(len(param))  # the first axis is the layers
        return (numbers >= lowest).reshape(-1, *[1] * (param.ndim - 1))

    return jax.tree_util.tree_map_with_path(above, params)


def without_gradient_below(params: Params, lowest: int) -> Params:
    """Returns `params`, through which no gradient goes to layers below `lowest`.

    Layers count as in `at_or_above`, and `params` are as there.
    """
    if lowest <= 0:
        return params
    encoder = params["encoder"]
    kept = lowest - 1  # layers
    layers = jax.tree.map(
        lambda x: jnp.concatenate([jax.lax.stop_gradient(x[:kept]), x[kept:]]),
        encoder["layers"],
    )
    embeddings = jax.lax.stop_gradient(encoder["embeddings"])
    below = {"embeddings": embeddings, "layers": layers}
    return {**params, "encoder": {**encoder, **below}}


def without_last_layer(
    config: EncoderConfig, params: Params
) -> tuple[Encoder, Params, Params]:
    """Returns the encoder below its last layer, its parameters, and that `Layer`'s.

    Args:
        config: the encoder's sizes; at least one layer.
        params: the encoder's parameters (`params["encoder"]`).
    """
    lower = dataclasses.replace(config, num_layers=config.num_layers - 1)
    below = jax.tree.map(lambda x: x[:-1], params["layers"])
    last = jax.tree.map(lambda x: x[-1], params["layers"]["layer"])
    return Encoder(lower), {**params, "layers": below}, last
