"""The BERT encoder, as mBERT, XLM-R and LaBSE have it, in Flax Linen.

Post-LayerNorm, exact GELU, learned positions and segments. Layers are stacked with
`nn.scan`: parameters of layer n are slice n of the arrays under `layers`.

Source: Devlin et al. 2019; sizes and constants from google-research/bert. What XLM-R
has otherwise: `XLMRobertaModel` of huggingface/transformers.
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
    max_positions: int  # entries of the table of positions, see `usable_positions`
    num_segments: int  # entries of the table of segments
    hidden_dropout: float  # probability
    attention_dropout: float  # probability
    initializer_range: float  # standard deviation of the truncated normal
    dtype: str  # of activations; parameters and statistics stay float32
    remat: bool  # recompute activations in the backward pass to save memory
    # BERT's values first: checkpoints that do not record these are of BERTs.
    position_offset: int = 0  # entry of the first position; XLM-R: 2
    second_segment: int = 1  # of a pair's second side, the first has 0; XLM-R: 0
    layer_norm_epsilon: float = 1e-12  # XLM-R: 1e-5
    kernels: Kernels = Kernels()  # how it is computed, which is no part of the model

    @property
    def usable_positions(self) -> int:
        """The tokens of the longest row: entries of the table from the offset on."""
        return self.max_positions - self.position_offset

    def recorded(self) -> dict[str, Any]:
        """The fields that a checkpoint records of its model: all but the kernels."""
        fields = dataclasses.asdict(self)
        del fields["kernels"]
        return fields


class EncoderOutput(NamedTuple):
    """The result of one pass of the encoder."""

    hidden_states: Array  # [B, L, D], the last layer's
    readouts: Array | None  # [N + 1, ...], of the embeddings and of every layer


def dense(config: EncoderConfig, inputs: int, features: int) -> Dense:
    """A dense layer of an encoder, or of a head that stands on it."""
    return Dense(
        inputs,
        features,
        dtype=config.dtype,
        initializer_range=config.initializer_range,
        turned=config.kernels.tall_gradients == "turned",
        wide=config.kernels.products == "wide",
    )


def norm(config: EncoderConfig, name: str | None = None) -> LayerNorm:
    """A LayerNorm of an encoder's vectors."""
    return LayerNorm(
        config.hidden_size, config.dtype, config.layer_norm_epsilon, name=name
    )


def _embed(config: EncoderConfig, entries: int, name: str) -> nn.Embed:
    init = nn.initializers.truncated_normal(config.initializer_range)
    return nn.Embed(entries, config.hidden_size, embedding_init=init, name=name)


class Embeddings(nn.Module):
    """Sum of word, position and segment embeddings, normalized."""

    config: EncoderConfig

    @nn.compact
    def __call__(
        self,
        token_ids: Array,
        sides: Array,
        position_ids: Array,
        seeds: Array | None = None,
    ) -> Array:
        """Returns [B, L, D] from arguments of `Encoder.__call__`."""
        config = self.config
        x = _embed(config, config.vocab_size, "word")(token_ids)  # [B, L] -> [B, L, D]
        positions = _embed(config, config.max_positions, "position")
        x += positions(position_ids + config.position_offset)
        segments = _embed(config, config.num_segments, "segment").embedding
        segment_ids = sides * config.second_segment
        # A product: a lookup's gradient would be a scatter into these few rows.
        one_hot = jax.nn.one_hot(segment_ids, config.num_segments, dtype=x.dtype)
        x += jnp.matmul(one_hot, segments, precision=jax.lax.Precision.HIGHEST)
        x = norm(config, name="norm")(x)
        return drop(x, _derived(seeds, _EMBEDDINGS), config.hidden_dropout)


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

    def context(self, x: Array, mask: Mask, seeds: Array | None) -> Array:
        """The attention context before the output projection, [B, L, D].

        Arguments are those of `Layer.__call__`.
        """
        form = self.config.kernels.attention
        # [B, L, 3, H, K] -> [B, L, H, K] -> [B, L, D]
        context = attend(self._heads(x), mask, **self._dropout(seeds), form=form)
        return context.reshape(x.shape)

    def context_with_probs(
        self, x: Array, mask: Mask, seeds: Array | None
    ) -> tuple[Array, Array]:
        """The same, and the probabilities before dropout, [B, H, L, L]."""
        context, probs = attend_with_probs(self._heads(x), mask, **self._dropout(seeds))
        return context.reshape(x.shape), probs

    def _heads(self, x: Array) -> Array:
        """Queries, keys and values: [B, L, D] -> [B, L, 3, H, K]."""
        projections = self.query, self.key, self.value
        heads = self.config.num_heads
        if self.config.kernels.heads == "together":
            joined = side_by_side(projections, x)
            return joined.reshape(*x.shape[:-1], len(projections), heads, -1)
        # Of heads already: XLA leaves a stack of them out that is taken apart again.
        of_heads = (*x.shape[:-1], heads, -1)
        parts = [projection(x).reshape(of_heads) for projection in projections]
        return jnp.stack(parts, axis=-3)

    def _dropout(self, seeds: Array | None) -> dict[str, Any]:
        rate = self.config.attention_dropout
        return {"seeds": _derived(seeds, _PROBABILITIES), "rate": rate}


class Layer(nn.Module):
    """Attention and feed-forward blocks, each followed by add and LayerNorm."""

    config: EncoderConfig

    def setup(self) -> None:
        """Names the parts."""
        config = self.config
        width, wide = config.hidden_size, config.intermediate_size
        self.attention = SelfAttention(config)
        self.attention_norm = norm(config)
        self.intermediate = dense(config, width, wide)
        self.output = dense(config, wide, width)
        self.output_norm = norm(config)

    def __call__(self, x: Array, mask: Mask, seeds: Array | None = None) -> Array:
        """Returns [B, L, D] from x [B, L, D].

        Args:
            x: the output of the layer below.
            mask: who may attend whom.
            seeds: [B, 2] uint32, of this layer's dropouts; None for none.
        """
        return self._finish(x, self.attention.context(x, mask, seeds), seeds)

    def selected_with_probs(
        self,
        x: Array,
        mask: Mask,
        select: Callable[[Array], Array],
        seeds: Array | None = None,
        selected_seeds: Array | None = None,
    ) -> tuple[Array, Array]:
        """The layer's output at selected tokens alone, and every token's attention.

        Args:
            x: [B, L, D].
            mask: who may attend whom.
            select: [B, L, D] -> [C, M, D], from the vectors of all tokens to those of
                the selected ones.
            seeds: [B, 2] uint32, as of `__call__`.
            selected_seeds: [C, 2] uint32, the same of the rows of selected tokens.

        Returns:
            [C, M, D], and probabilities [B, H, L, L] in the activations' dtype.
        """
        context, probs = self.attention.context_with_probs(x, mask, seeds)
        return self._finish(select(x), select(context), selected_seeds), probs

    def _finish(self, x: Array, context: Array, seeds: Array | None) -> Array:
        """The layer behind its attention: two [B, L, D] -> [B, L, D]."""
        rate = self.config.hidden_dropout
        attended = self.attention.output(context)
        x = self.attention_norm(x + drop(attended, _derived(seeds, _ATTENDED), rate))
        # [B, L, D] -> [B, L, F] -> [B, L, D]
        narrow = self.output(gelu(self.intermediate(x), self.config.kernels.gelu))
        return self.output_norm(x + drop(narrow, _derived(seeds, _NARROW), rate))


class _ScannedLayer(nn.Module):
    """A layer in the shape `nn.scan` wants."""

    config: EncoderConfig
    readout: Callable[[Array], Array] | None

    @nn.compact
    def __call__(self, x: Array, seeds: Array | None, mask: Mask) -> tuple[Array, Any]:
        y = Layer(self.config, name="layer")(x, mask, seeds)
        return y, None if self.readout is None else self.readout(y)


class Encoder(nn.Module):
    """Token ids to contextual vectors."""

    config: EncoderConfig

    @nn.compact
    def __call__(
        self,
        token_ids: Array,
        sides: Array,
        position_ids: Array,
        mask: Mask,
        *,
        seeds: Array | None = None,
        readout: Callable[[Array], Array] | None = None,
    ) -> EncoderOutput:
        """Encodes rows, [B, L] -> [B, L, D].

        Args:
            token_ids: [B, L] int32.
            sides: [B, L] int32, 0 or 1: which side of its pair a token is of.
            position_ids: [B, L] int32, from 0.
            mask: who may attend whom.
            seeds: [B, 2] uint32, `dropout.row_seeds` in training, None for no dropout.
            readout: of every layer's output [B, L, D], what is handed out: one array
                a layer, such as its pooled vectors. The states themselves are not kept.
        """
        config = self.config
        x = Embeddings(config, name="embeddings")(token_ids, sides, position_ids, seeds)
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
            unroll=1 if loop else max(1, config.num_layers),
        )(config, readout, name="layers")
        last, readouts = layers(x, _seeds_of_layers(seeds, config.num_layers), mask)
        if readout is not None:
            readouts = jnp.concatenate([readout(x)[None], readouts])
        return EncoderOutput(last, readouts)


def apply(module: nn.Module, params: Params, *arguments: Any, **options: Any) -> Any:
    """The output of a module that has no variables but its parameters."""
    return module.apply({"params": params}, *arguments, **options)


def _derived(seeds: Array | None, number: Array | int) -> Array | None:
    return None if seeds is None else derived(seeds, number)


def layer_seeds(seeds: Array | None, layer: int) -> Array | None:
    """The seeds of a layer's dropouts, [B, 2] uint32, from an encoder's.

    Layers count from 1; a head on the encoder counts as the layer above the last.
    """
    return _derived(seeds, layer)


def _seeds_of_layers(seeds: Array | None, num_layers: int) -> Array | None:
    """The seeds of all layers, [B, 2] -> [N, B, 2] uint32."""
    if seeds is None:
        return None
    return jax.vmap(derived, (None, 0))(seeds, jnp.arange(1, num_layers + 1))


def lowest_layers(
    config: EncoderConfig, params: Params, count: int
) -> tuple[Encoder, Params]:
    """The encoder up to a layer, and its parameters.

    Args:
        config: the whole encoder's sizes.
        params: its parameters (`params["encoder"]`).
        count: how many of its layers; 0 leaves the embeddings.
    """
    layers = jax.tree.map(lambda x: x[:count], params["layers"])
    lowest = Encoder(dataclasses.replace(config, num_layers=count))
    return lowest, {**params, "layers": layers}
