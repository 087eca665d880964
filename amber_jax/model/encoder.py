"""The BERT encoder, as mBERT has it, in Flax Linen.

Post-LayerNorm, exact GELU, learned positions, two segment types. Layers are stacked
with `nn.scan`, so compile time does not grow with depth, except on the CPU; parameters
of layer n are slice n of the arrays under `layers`.

Source: Devlin et al. 2019; sizes and constants from google-research/bert.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from amber_jax.model.attention import attend, probabilities, split_heads
from amber_jax.model.dropout import Dropout
from amber_jax.model.projection import project
from amber_jax.types import Array, Params

LAYER_NORM_EPSILON = 1e-12


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


class EncoderOutput(NamedTuple):
    """What one pass of the encoder gives."""

    hidden_states: Array  # [B, L, D] of the last layer
    last_layer_input: Array  # [B, L, D], from which `attention_probs` starts
    all_hidden_states: Array | None  # [N + 1, B, L, D], embeddings first, if asked


def _unrolled_layers(config: EncoderConfig) -> int:
    """Returns how many layers stand side by side in the compiled program.

    On the CPU all of them: a loop there copies what it keeps for the backward pass,
    a fifth of the time of a small encoder. With `remat` nothing is kept.
    """
    on_cpu = jax.default_backend() == "cpu"
    return config.num_layers if on_cpu and not config.remat else 1


def _dense(config: EncoderConfig, features: int, name: str) -> nn.Dense:
    return nn.Dense(
        features,
        dtype=config.dtype,
        kernel_init=nn.initializers.truncated_normal(config.initializer_range),
        dot_general=project,
        name=name,
    )


def _layer_norm(config: EncoderConfig, name: str) -> nn.LayerNorm:
    # Flax computes the statistics in float32 whatever the dtype.
    return nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, dtype=config.dtype, name=name)


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
        self, token_ids: Array, segment_ids: Array, position_ids: Array, *, train: bool
    ) -> Array:
        """Returns [B, L, D] from three [B, L] int32 arrays."""
        config = self.config
        x = _embed(config, config.vocab_size, "word")(token_ids)
        x += _embed(config, config.max_positions, "position")(position_ids)
        x += _embed(config, config.num_segments, "segment")(segment_ids)
        x = _layer_norm(config, "norm")(x)
        return Dropout(config.hidden_dropout)(x, train=train)


class SelfAttention(nn.Module):
    """Multi-head attention of a row over itself."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, x: Array, mask: Array, *, train: bool) -> Array:
        """Returns [B, L, D] from x [B, L, D] and mask [B, L, L] bool."""
        config = self.config
        # [B, L, D] -> [B, L, H, K]
        query, key, value = (
            split_heads(_dense(config, config.hidden_size, name)(x), config.num_heads)
            for name in ("query", "key", "value")
        )
        drop = None
        if train and config.attention_dropout:
            dropout = Dropout(config.attention_dropout)
            drop = functools.partial(dropout, train=train)
        mixed = attend(query, key, value, mask, drop=drop)
        return _dense(config, config.hidden_size, "output")(mixed.reshape(x.shape))


class Layer(nn.Module):
    """Attention and feed-forward blocks, each followed by add and LayerNorm."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, x: Array, mask: Array, train: bool) -> Array:
        """Returns [B, L, D] from x [B, L, D] and mask [B, L, L] bool."""
        config = self.config
        drop = functools.partial(Dropout(config.hidden_dropout), train=train)
        attended = SelfAttention(config, name="attention")(x, mask, train=train)
        x = _layer_norm(config, "attention_norm")(x + drop(attended))
        # [B, L, D] -> [B, L, F] -> [B, L, D]
        wide = _dense(config, config.intermediate_size, "intermediate")(x)
        wide = nn.gelu(wide, approximate=False)
        narrow = _dense(config, config.hidden_size, "output")(wide)
        return _layer_norm(config, "output_norm")(x + drop(narrow))


class _ScannedLayer(nn.Module):
    """A layer in the shape `nn.scan` wants: it also carries its own input along."""

    config: EncoderConfig
    keep_hidden_states: bool

    @nn.compact
    def __call__(
        self, carry: tuple[Array, Array], mask: Array, train: bool
    ) -> tuple[tuple[Array, Array], Array | None]:
        x, _ = carry
        y = Layer(self.config, name="layer")(x, mask, train)
        return (y, x), (y if self.keep_hidden_states else None)


class Encoder(nn.Module):
    """Token ids to contextual vectors."""

    config: EncoderConfig

    @nn.compact
    def __call__(
        self,
        token_ids: Array,
        segment_ids: Array,
        position_ids: Array,
        mask: Array,
        *,
        train: bool = False,
        keep_hidden_states: bool = False,
    ) -> EncoderOutput:
        """Encodes rows.

        Args:
            token_ids: [B, L] int32.
            segment_ids: [B, L] int32, 0 or 1.
            position_ids: [B, L] int32.
            mask: [B, L, L] bool, whether query token q may attend key token s.
            train: whether dropout acts; needs the `dropout` rng then.
            keep_hidden_states: whether to return every layer's output.
        """
        config = self.config
        x = Embeddings(config, name="embeddings")(
            token_ids, segment_ids, position_ids, train=train
        )
        body = _ScannedLayer
        if config.remat:
            body = nn.remat(body, prevent_cse=False, static_argnums=(3,))
        layers = nn.scan(
            body,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(nn.broadcast, nn.broadcast),
            length=config.num_layers,
            unroll=_unrolled_layers(config),
        )(config, keep_hidden_states, name="layers")
        (last, last_input), kept = layers((x, x), mask, train)
        if keep_hidden_states:
            kept = jnp.concatenate([x[None], kept])
        return EncoderOutput(last, last_input, kept)


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


def attention_probs(
    params: Params, config: EncoderConfig, layer_input: Array, mask: Array
) -> Array:
    """Returns the last layer's attention probabilities, [B, H, L, L] float32.

    Recomputed from the layer's input, so the encoder itself never has to hold the
    probabilities of any layer; without dropout.

    Args:
        params: the encoder's parameters (`params["encoder"]`).
        config: the encoder's configuration.
        layer_input: [B, L, D], `EncoderOutput.last_layer_input`.
        mask: [B, L, L] bool, as given to the encoder.
    """
    attention = params["layers"]["layer"]["attention"]
    x = layer_input.astype(config.dtype)

    def of(name: str) -> Array:
        kernel = attention[name]["kernel"][-1].astype(config.dtype)
        bias = attention[name]["bias"][-1].astype(config.dtype)
        projected = jnp.einsum("bld,de->ble", x, kernel) + bias[None, None]
        return split_heads(projected, config.num_heads)

    return probabilities(of("query"), of("key"), mask)
