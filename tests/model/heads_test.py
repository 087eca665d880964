import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax.model import rows
from amber_jax.model.encoder import Encoder
from amber_jax.model.heads import MaskedLMHead, PretrainingModel, mean_pool


@pytest.fixture(scope="module")
def inputs(pack):
    kind = pack([[([10, 11, 12], [20, 21])], [([13], [22]), ([14], None)]], length=12)
    place = rows.layout(kind["span_lengths"], 12)
    ids = kind["token_ids"]
    return ids, place.sides, place.position_ids, rows.full_attention(place)


SLOTS = np.array([[1, 6, 2], [4, 0, 6]], np.int32)  # in every pair


@functools.partial(jax.jit, static_argnames="config")
def apply(params, config, *arrays):
    output, logits = PretrainingModel(config).apply({"params": params}, *arrays)
    return output.hidden_states, logits


def test_the_head_is_berts_with_the_word_embeddings_as_decoder(
    params, encoder_config, numpy_mlm_head
):
    x = np.random.default_rng(0).normal(size=(2, 3, 16)).astype(np.float32)
    words = params["encoder"]["embeddings"]["word"]["embedding"]
    logits = jax.jit(MaskedLMHead(encoder_config).apply)(
        {"params": params["mlm_head"]}, x, words
    )
    np.testing.assert_allclose(logits, numpy_mlm_head(x), atol=1e-5)


def test_gathered_logits_are_the_dense_ones_at_those_places(
    params, encoder_config, inputs
):
    everywhere = np.tile(np.arange(12, dtype=np.int32), (2, 1))
    _, dense = apply(params, encoder_config, *inputs, everywhere)
    _, gathered = apply(params, encoder_config, *inputs, SLOTS)
    assert gathered.shape == (2, 3, 60)
    assert gathered.dtype == np.float32
    expected = np.take_along_axis(np.asarray(dense), SLOTS[..., None], axis=1)
    np.testing.assert_allclose(gathered, expected, atol=1e-5)


def test_the_decoder_has_no_matrix_of_its_own(params):
    shapes = jax.tree.map(np.shape, params["mlm_head"])
    assert shapes == {
        "transform": {"kernel": (16, 16), "bias": (16,)},
        "norm": {"scale": (16,), "bias": (16,)},
        "bias": (60,),
    }


def test_word_embeddings_learn_from_both_of_their_uses(params, encoder_config, inputs):
    table = params["encoder"]["embeddings"]["word"]["embedding"]

    def with_table(words):
        embeddings = params["encoder"]["embeddings"] | {"word": {"embedding": words}}
        return params["encoder"] | {"embeddings": embeddings}

    def apart(read, written):
        output = Encoder(encoder_config).apply({"params": with_table(read)}, *inputs)
        slots = jnp.take_along_axis(output.hidden_states, SLOTS[..., None], axis=1)
        head = {"params": params["mlm_head"]}
        return jnp.sin(MaskedLMHead(encoder_config).apply(head, slots, written)).sum()

    def tied(words):
        both = params | {"encoder": with_table(words)}
        return jnp.sin(apply(both, encoder_config, *inputs, SLOTS)[1]).sum()

    as_input, as_output = jax.jit(jax.grad(apart, argnums=(0, 1)))(table, table)
    gradient = jax.jit(jax.grad(tied))(table)
    np.testing.assert_allclose(gradient, as_input + as_output, rtol=1e-3, atol=1e-4)
    used = np.unique(inputs[0][inputs[0] > 0])
    assert np.abs(as_input).sum(-1)[used].min() > 1e-3
    assert np.abs(as_output).sum(-1).min() > 1e-3


def test_mean_pool_of_literal_rows():
    hidden_states = np.array([[[1.0, 0.0], [3.0, 2.0], [5.0, 9.0]]])
    members = np.array([[[1, 1, 0], [0, 0, 1], [0, 0, 0]]], bool)
    assert mean_pool(hidden_states, members).tolist() == [
        [[2.0, 1.0], [5.0, 9.0], [0.0, 0.0]]
    ]


def test_mean_pool_sums_in_float32():
    # In bfloat16 the sum would stop growing at 256.
    hidden_states = jnp.ones((1, 1000, 1), jnp.bfloat16)
    pooled = mean_pool(hidden_states, np.ones((1, 1, 1000), bool))
    assert pooled.dtype == np.float32
    assert pooled.item() == 1.0
