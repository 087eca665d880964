"""What stands on top of the encoder: MLM head, label head, mean pooling."""

import flax.linen as nn
import jax.numpy as jnp

from amber_jax.model.encoder import (
    LAYER_NORM_EPSILON,
    Encoder,
    EncoderConfig,
    EncoderOutput,
)
from amber_jax.types import Array


class MaskedLMHead(nn.Module):
    """Dense, GELU, LayerNorm, then the word embeddings transposed plus a bias."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, hidden_states: Array, word_embeddings: Array) -> Array:
        """Returns mlm_logits [B, P, V] float32.

        Args:
            hidden_states: [B, P, D], already gathered at the prediction slots, so
                that logits over the vocabulary exist for nothing else.
            word_embeddings: [V, D], tied with the encoder's.
        """
        config = self.config
        x = nn.Dense(
            config.hidden_size,
            dtype=config.dtype,
            kernel_init=nn.initializers.truncated_normal(config.initializer_range),
            name="transform",
        )(hidden_states)
        x = nn.gelu(x, approximate=False)
        x = nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, dtype=config.dtype, name="norm")(x)
        bias = self.param("bias", nn.initializers.zeros, (config.vocab_size,))
        logits = jnp.einsum("bpd,vd->bpv", x, word_embeddings.astype(x.dtype))
        return logits.astype(jnp.float32) + bias[None, None]


class PretrainingModel(nn.Module):
    """The encoder and the MLM head; their parameters are all of an AMBER."""

    config: EncoderConfig

    def setup(self) -> None:
        """Names the two parts."""
        self.encoder = Encoder(self.config)
        self.mlm_head = MaskedLMHead(self.config)

    def __call__(
        self,
        token_ids: Array,
        segment_ids: Array,
        position_ids: Array,
        mask: Array,
        mlm_positions: Array,
        *,
        train: bool = False,
    ) -> tuple[EncoderOutput, Array]:
        """Returns the encoder's output and mlm_logits [B, P, V] float32."""
        output = self.encoder(token_ids, segment_ids, position_ids, mask, train=train)
        slots = jnp.take_along_axis(
            output.hidden_states, mlm_positions[..., None], axis=1
        )
        words = self.encoder.variables["params"]["embeddings"]["word"]["embedding"]
        return output, self.mlm_head(slots, words)

    def encode(self, *args: Array, **switches: bool) -> EncoderOutput:
        """Returns the encoder's output alone; arguments as `Encoder.__call__`."""
        return self.encoder(*args, **switches)


class LabellingModel(nn.Module):
    """The encoder and a linear layer that gives chosen tokens one of a few labels.

    On `[CLS]` it classifies sentences, on the first pieces of words it tags them.
    """

    config: EncoderConfig
    num_labels: int
    pooled: bool  # BERT's dense and tanh before the head, as it classifies sentences

    def setup(self) -> None:
        """Names the parts."""
        self.encoder = Encoder(self.config)
        if self.pooled:
            self.pooler = self._dense(self.config.hidden_size)
        self.head = self._dense(self.num_labels)
        self.dropout = nn.Dropout(self.config.hidden_dropout)

    def _dense(self, features: int) -> nn.Dense:
        config = self.config
        init = nn.initializers.truncated_normal(config.initializer_range)
        return nn.Dense(features, dtype=config.dtype, kernel_init=init)

    def __call__(
        self,
        token_ids: Array,
        segment_ids: Array,
        position_ids: Array,
        mask: Array,
        slots: Array,
        *,
        train: bool = False,
    ) -> Array:
        """Returns label logits at `slots`, [B, S, C] float32.

        Args:
            token_ids: [B, L] int32, as are the next two.
            segment_ids: 0 or 1.
            position_ids: from 0 in every pair.
            mask: [B, L, L] bool.
            slots: [B, S] int32, the tokens that get a label.
            train: whether dropout acts.
        """
        output = self.encoder(token_ids, segment_ids, position_ids, mask, train=train)
        x = jnp.take_along_axis(output.hidden_states, slots[..., None], axis=1)
        if self.pooled:
            x = jnp.tanh(self.pooler(x))
        x = self.dropout(x, deterministic=not train)
        return self.head(x).astype(jnp.float32)


def mean_pool(hidden_states: Array, members: Array) -> Array:
    """Returns the mean vector of each group of tokens, [B, N, D] float32.

    Args:
        hidden_states: [B, L, D].
        members: [B, N, L] bool, which tokens belong to group n; a group without
            tokens gives a zero vector.
    """
    members = members.astype(jnp.float32)
    total = jnp.einsum("bnl,bld->bnd", members, hidden_states.astype(jnp.float32))
    return total / jnp.maximum(members.sum(-1, keepdims=True), 1.0)
