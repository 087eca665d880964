"""What stands on top of the encoder: the MLM head and mean pooling."""

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
