"""The heads on top of the encoder: masked LM, labels, mean pooling."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from amber_jax.model.activation import gelu
from amber_jax.model.encoder import (
    Encoder,
    EncoderConfig,
    EncoderOutput,
    dense,
    layer_seeds,
    norm,
)
from amber_jax.model.kernels.dropout import drop
from amber_jax.model.rows import Mask
from amber_jax.types import Array


class MaskedLMHead(nn.Module):
    """Dense, GELU, LayerNorm, then the word embeddings transposed plus a bias."""

    config: EncoderConfig

    def setup(self) -> None:
        """Names the parts."""
        config = self.config
        self.transform = dense(config, config.hidden_size, config.hidden_size)
        self.norm = norm(config)
        self.bias = self.param("bias", nn.initializers.zeros, (config.vocab_size,))

    def features(self, hidden_states: Array) -> Array:
        """The features to compare with the word embeddings, [B, P, D] -> [B, P, D]."""
        return self.norm(gelu(self.transform(hidden_states)))

    def __call__(self, hidden_states: Array, word_embeddings: Array) -> Array:
        """The logits of the vocabulary, [B, P, D] -> [B, P, V] float32.

        Args:
            hidden_states: [B, P, D], already gathered at the prediction slots, so
                that logits over the vocabulary exist for nothing else.
            word_embeddings: [V, D], tied with the encoder's.
        """
        x = self.features(hidden_states)
        words = word_embeddings.astype(x.dtype)
        exact = {"preferred_element_type": jnp.float32}
        return jnp.einsum("bpd,vd->bpv", x, words, **exact) + self.bias[None, None]


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
        sides: Array,
        position_ids: Array,
        mask: Mask,
        mlm_positions: Array,
        *,
        seeds: Array | None = None,
    ) -> tuple[EncoderOutput, Array]:
        """The encoder's output and the head's logits [B, P, V] float32."""
        output = self.encoder(token_ids, sides, position_ids, mask, seeds=seeds)
        words = self.encoder.variables["params"]["embeddings"]["word"]["embedding"]
        return output, self.mlm_head(_slots_of(output, mlm_positions), words)

    def mlm_features(self, *args: Any, mlm_positions: Array, **options: Any) -> Array:
        """The head's features at the prediction slots, [B, L] -> [B, P, D].

        With them `losses.masked_lm` makes the logits and their gradient at once.
        """
        output = self.encoder(*args, **options)
        return self.mlm_head.features(_slots_of(output, mlm_positions))


def _slots_of(output: EncoderOutput, slots: Array) -> Array:
    """The last layer's vectors at `slots` [B, P]: [B, L, D] -> [B, P, D]."""
    return jnp.take_along_axis(output.hidden_states, slots[..., None], axis=1)


class LabelingModel(nn.Module):
    """The encoder and a linear layer that gives chosen tokens one of a few labels.

    On `[CLS]` it classifies sentences, on the first pieces of words it tags them.
    """

    config: EncoderConfig
    num_labels: int
    pooled: bool  # BERT's dense and tanh before the head, as it classifies sentences

    def setup(self) -> None:
        """Names the parts."""
        config = self.config
        self.encoder = Encoder(config)
        if self.pooled:
            self.pooler = dense(config, config.hidden_size, config.hidden_size)
        self.head = dense(config, config.hidden_size, self.num_labels)

    def __call__(
        self,
        token_ids: Array,
        sides: Array,
        position_ids: Array,
        mask: Mask,
        slots: Array,
        *,
        seeds: Array | None = None,
    ) -> Array:
        """The label logits at `slots`, [B, L] -> [B, S, C] float32.

        Args:
            token_ids: [B, L] int32, as are the next two.
            sides: 0 or 1.
            position_ids: from 0 in every pair.
            mask: who may attend whom.
            slots: [B, S] int32, the tokens that get a label.
            seeds: [B, 2] uint32, as `Encoder` takes them.
        """
        output = self.encoder(token_ids, sides, position_ids, mask, seeds=seeds)
        x = _slots_of(output, slots)  # [B, S, D]
        if self.pooled:
            x = jnp.tanh(self.pooler(x))
        head_seeds = layer_seeds(seeds, self.config.num_layers + 1)
        x = drop(x, head_seeds, self.config.hidden_dropout)
        return self.head(x).astype(jnp.float32)


def mean_pool(hidden_states: Array, members: Array) -> Array:
    """The mean vector of each group of tokens, [B, L, D] -> [B, N, D] float32.

    Args:
        hidden_states: [B, L, D].
        members: [B, N, L] bool, which tokens belong to group n; a group without
            tokens gives a zero vector.
    """
    members = members.astype(jnp.float32)
    total = jnp.einsum("bnl,bld->bnd", members, hidden_states.astype(jnp.float32))
    return total / jnp.maximum(members.sum(-1, keepdims=True), 1.0)
