"""Attention by hand, and what the fused kernel would be handed."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax.model import attention


@pytest.fixture(scope="module")
def heads():
    """Query, key and value of 2 rows of 64 tokens, 3 heads of 8, and a mask."""
    rng = np.random.default_rng(0)
    query, key, value = rng.normal(size=(3, 2, 64, 3, 8)).astype(np.float32)
    mask = rng.random((2, 64, 64)) < 0.3
    mask[:, :, 0] = True
    return query, key, value, mask


def test_mixed_values_agree_with_numpy(heads):
    query, key, value, mask = heads
    scores = np.einsum("bqhk,bshk->bhqs", query, key) / np.sqrt(8)
    shares = np.where(mask[:, None], np.exp(scores), 0)
    shares /= shares.sum(-1, keepdims=True)
    np.testing.assert_allclose(
        attention.probabilities(query, key, mask), shares, atol=1e-6
    )
    mixed = attention.attend(query, key, value, mask, drop=None)
    expected = np.einsum("bhqs,bshk->bqhk", shares, value)
    np.testing.assert_allclose(mixed, expected, atol=1e-5)


def test_scores_of_bfloat16_rows_are_not_rounded(heads):
    query, key, _, mask = (jnp.asarray(x) for x in heads)
    narrow = query.astype(jnp.bfloat16), key.astype(jnp.bfloat16)
    wide = (x.astype(jnp.float32) for x in narrow)
    np.testing.assert_allclose(
        attention.probabilities(*narrow, mask),
        attention.probabilities(*wide, mask),
        rtol=1e-5,
    )


def test_dropout_acts_on_the_probabilities(heads):
    seen = []
    attention.attend(*heads, drop=lambda probs: seen.append(probs) or probs * 0)
    np.testing.assert_allclose(seen[0].sum(-1), 1, rtol=1e-5)
    nothing = attention.attend(*heads, drop=lambda probs: probs * 0)
    assert (np.asarray(nothing) == 0).all()


@pytest.fixture
def handed_to_cudnn(monkeypatch):
    """Calls that would go to the fused kernel of a GPU; XLA's stands in for it."""
    calls = []
    plain = jax.nn.dot_product_attention

    def stand_in(*args, implementation, **options):
        calls.append(implementation)
        return plain(*args, implementation="xla", **options)

    device = types.SimpleNamespace(compute_capability="9.0")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    monkeypatch.setattr(jax.nn, "dot_product_attention", stand_in)
    return calls


def test_sixteen_bit_rows_on_a_gpu_go_to_the_fused_kernel(heads, handed_to_cudnn):
    *narrow, mask = (jnp.asarray(x) for x in heads)
    narrow = [x.astype(jnp.bfloat16) for x in narrow]
    fused = attention.attend(*narrow, mask, drop=None)
    assert handed_to_cudnn == ["cudnn"]
    plain = attention.attend(*narrow, mask, drop=lambda probs: probs)
    np.testing.assert_allclose(
        fused.astype(jnp.float32), plain.astype(jnp.float32), atol=0.03
    )


@pytest.mark.parametrize("device", [None, "7.5"])
def test_gpus_without_the_fused_kernel_compute_plainly(
    heads, handed_to_cudnn, monkeypatch, device
):
    facts = {"compute_capability": device} if device else {}
    monkeypatch.setattr(jax, "local_devices", lambda: [types.SimpleNamespace(**facts)])
    *narrow, mask = (jnp.asarray(x) for x in heads)
    attention.attend(*(x.astype(jnp.bfloat16) for x in narrow), mask, drop=None)
    assert handed_to_cudnn == []


def test_what_the_fused_kernel_does_not_take_is_computed_plainly(
    heads, handed_to_cudnn
):
    query, key, value, mask = (jnp.asarray(x) for x in heads)
    short = [x[:, :60].astype(jnp.bfloat16) for x in (query, key, value)]
    attention.attend(query, key, value, mask, drop=None)
    attention.attend(*short, mask[:, :60, :60], drop=None)
    assert handed_to_cudnn == []
