"""The BERT encoder, as mBERT has it, in Flax Linen.

Post-LayerNorm, exact GELU, learned positions, two segment types. Layers are stacked
with `nn.scan`, so compile time does not grow with depth, except on the CPU; parameters
of layer n are slice n of the arrays under `layers`.

Source: Devlin et al. 2019; sizes and constants from google-research/bert.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from amber_jax.model.attention import attend, mix, probabilities, split_heads
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
    all_hidden_states: Array | None  # [N + 1, B, L, D], embeddings first, if asked


def _unrolled_layers(config: EncoderConfig) -> int:
    """Returns how many layers stand side by side in the compiled program.

    On the CPU all of them: a loop there copies what it keeps for the backward pass,
    a fifth of the time of a small encoder. With `remat` nothing is kept.
    """
    on_cpu = jax.default_backend() == "cpu"
    return config.num_layers if on_cpu and not config.remat else 1


def _dense(config: EncoderConfig, features: int) -> nn.Dense:
    return nn.Dense(
        features,
        dtype=config.dtype,
        kernel_init=nn.initializers.truncated_normal(config.initializer_range),
        dot_general=project,
    )


def _layer_norm(config: EncoderConfig, name: str | None = None) -> nn.LayerNorm:
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

    def setup(self) -> None:
        """Names the parts."""
        config = self.config
        self.query = _dense(config, config.hidden_size)
        self.key = _dense(config, config.hidden_size)
        self.value = _dense(config, config.hidden_size)
        self.output = _dense(config, config.hidden_size)
        self.dropout = Dropout(config.attention_dropout)

    def mixed(
        self, x: Array, mask: Array, pair_ids: Array | None, *, train: bool
    ) -> Array:
        """Returns what `output` takes, [B, L, D]; arguments as `Layer.__call__`."""
        query, key, value = self._heads(x)
        drop = self._drop(train)
        mixed = attend(query, key, value, mask, pair_ids=pair_ids, drop=drop)
        return mixed.reshape(x.shape)

    def mixed_with_probs(
        self, x: Array, mask: Array, *, train: bool
    ) -> tuple[Array, Array]:
        """Returns that and the probabilities [B, H, L, L] float32, before dropout."""
        query, key, value = self._heads(x)
        probs = probabilities(query, key, mask)
        return mix(probs, value, drop=self._drop(train)).reshape(x.shape), probs

    def _heads(self, x: Array) -> tuple[Array, Array, Array]:
        # [B, L, D] -> [B, L, H, K]
        heads = self.config.num_heads
        query, key, value = self.query(x), self.key(x), self.value(x)
        return tuple(split_heads(one, heads) for one in (query, key, value))

    def _drop(self, train: bool) -> Callable[[Array], Array] | None:
        if not train or not self.config.attention_dropout:
            return None
        return lambda probs: self.dropout(probs, train=True)


class Layer(nn.Module):
    """Attention and feed-forward blocks, each followed by add and LayerNorm."""

    config: EncoderConfig

    def setup(self) -> None:
        """Names the parts."""
        config = self.config
        self.attention = SelfAttention(config)
        self.attention_norm = _layer_norm(config)
        self.intermediate = _dense(config, config.intermediate_size)
        self.output = _dense(config, config.hidden_size)
        self.output_norm = _layer_norm(config)
        self.dropout = Dropout(config.hidden_dropout)

    def __call__(
        self, x: Array, mask: Array, pair_ids: Array | None, train: bool
    ) -> Array:
        """Returns [B, L, D] from x [B, L, D]; other arguments as of `Encoder`."""
        mixed = self.attention.mixed(x, mask, pair_ids, train=train)
        return self._finish(x, mixed, train)

    def chosen_with_probs(
        self, x: Array, mask: Array, choose: Callable[[Array], Array], train: bool
    ) -> tuple[Array, Array]:
        """Returns the layer's output at chosen tokens alone, and what all attend.

        Args:
            x: [B, L, D].
            mask: [B, L, L] bool.
            choose: of what belongs to tokens, [B, L, D], what is wanted, [C, M, D].
            train: whether dropout acts.

        Returns:
            [C, M, D], and probabilities [B, H, L, L] float32.
        """
        mixed, probs = self.attention.mixed_with_probs(x, mask, train=train)
        return self._finish(choose(x), choose(mixed), train), probs

    def _finish(self, x: Array, mixed: Array, train: bool) -> Array:
        attended = self.dropout(self.attention.output(mixed), train=train)
        x = self.attention_norm(x + attended)
        # [B, L, D] -> [B, L, F] -> [B, L, D]
        wide = nn.gelu(self.intermediate(x), approximate=False)
        narrow = self.dropout(self.output(wide), train=train)
        return self.output_norm(x + narrow)


class _ScannedLayer(nn.Module):
    """A layer in the shape `nn.scan` wants."""

    config: EncoderConfig
    keep_hidden_states: bool

    @nn.compact
    def __call__(
        self, x: Array, mask: Array, pair_ids: Array | None, train: bool
    ) -> tuple[Array, Array | None]:
        y = Layer(self.config, name="layer")(x, mask, pair_ids, train)
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
        mask: Array,
        *,
        pair_ids: Array | None = None,
        train: bool = False,
        keep_hidden_states: bool = False,
    ) -> EncoderOutput:
        """Encodes rows.

        Args:
            token_ids: [B, L] int32.
            segment_ids: [B, L] int32, 0 or 1.
            position_ids: [B, L] int32.
            mask: [B, L, L] bool, whether query token q may attend key token s.
            pair_ids: [B, L] int32, the mask in another form that kernels for long rows
                want: equal numbers above 0 attend each other; None if it has none.
            train: whether dropout acts; needs the `dropout` rng then.
            keep_hidden_states: whether to return every layer's output.
        """
        config = self.config
        x = Embeddings(config, name="embeddings")(
            token_ids, segment_ids, position_ids, train=train
        )
        body = _ScannedLayer
        if config.remat:
            body = nn.remat(body, prevent_cse=False, static_argnums=(4,))
        layers = nn.scan(
            body,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(nn.broadcast, nn.broadcast, nn.broadcast),
            length=config.num_layers,
            unroll=_unrolled_layers(config),
        )(config, keep_hidden_states, name="layers")
        last, kept = layers(x, mask, pair_ids, train)
        if keep_hidden_states:
            kept = jnp.concatenate([x[None], kept])
        return EncoderOutput(last, kept)


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
