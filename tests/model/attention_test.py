"""Attention by hand, and what the fused kernels of accelerators are handed."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas.ops.tpu import flash_attention

from amber_jax.model import attention
from amber_jax.training.parallel import build_backend


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
    mixed = attention.attend(query, key, value, mask, pair_ids=None, drop=None)
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
    attention.attend(
        *heads, pair_ids=None, drop=lambda probs: seen.append(probs) or probs * 0
    )
    np.testing.assert_allclose(seen[0].sum(-1), 1, rtol=1e-5)
    nothing = attention.attend(*heads, pair_ids=None, drop=lambda probs: probs * 0)
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
    fused = attention.attend(*narrow, mask, pair_ids=None, drop=None)
    assert handed_to_cudnn == ["cudnn"]
    plain = attention.attend(*narrow, mask, pair_ids=None, drop=lambda probs: probs)
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
    attention.attend(
        *(x.astype(jnp.bfloat16) for x in narrow), mask, pair_ids=None, drop=None
    )
    assert handed_to_cudnn == []


def test_what_the_fused_kernel_does_not_take_is_computed_plainly(
    heads, handed_to_cudnn
):
    query, key, value, mask = (jnp.asarray(x) for x in heads)
    short = [x[:, :60].astype(jnp.bfloat16) for x in (query, key, value)]
    attention.attend(query, key, value, mask, pair_ids=None, drop=None)
    attention.attend(*short, mask[:, :60, :60], pair_ids=None, drop=None)
    assert handed_to_cudnn == []


def rows_of_pairs(length):
    """Query, key and value of 4 rows, and the pairs in them."""
    rng = np.random.default_rng(1)
    query, key, value = rng.normal(size=(3, 4, length, 1, 8)).astype(np.float32)
    pair_ids = np.sort(rng.integers(1, 5, (4, length)), axis=1)
    pair_ids[:, length - 8 :] = 0  # padding
    return query, key, value, pair_ids.astype(np.int32)


def sines(query, key, value, pair_ids):
    """A number that depends on what all the tokens of pairs attend."""
    same = pair_ids[:, :, None] == pair_ids[:, None, :]
    mask = same & (pair_ids[:, None, :] > 0)
    mixed = attention.attend(query, key, value, mask, pair_ids=pair_ids, drop=None)
    return (jnp.sin(mixed) * (pair_ids > 0)[..., None, None]).sum()


values_and_gradients = jax.value_and_grad(sines, argnums=(0, 1, 2))


@pytest.fixture
def on_a_tpu(monkeypatch):
    """What a TPU would run, interpreted; rows are long from one block on."""
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    monkeypatch.setattr(attention, "_LONG_ROW", 128)
    calls = []
    kernel = flash_attention.flash_attention

    def counted(query, *args, **options):
        calls.append(query.shape)
        return kernel(query, *args, **options)

    monkeypatch.setattr(flash_attention, "flash_attention", counted)
    return calls


def assert_close(found, expected):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
        found,
        expected,
    )


@pytest.mark.parametrize("length", [128, 384])  # one block, and three
def test_long_rows_on_a_tpu_go_to_the_kernel_that_knows_pairs(length, on_a_tpu):
    pairs = rows_of_pairs(length)
    with pytest.MonkeyPatch.context() as plainly:
        plainly.setattr(jax, "default_backend", lambda: "cpu")
        expected = values_and_gradients(*pairs)
    assert on_a_tpu == []
    with pltpu.force_tpu_interpret_mode():
        assert_close(values_and_gradients(*pairs), expected)
    assert on_a_tpu == [(4, 1, length, 8)]


@pytest.mark.parametrize("backend", ["jit", "pmap"])
def test_every_device_runs_the_kernel_on_its_own_rows(on_a_tpu, backend):
    pairs = rows_of_pairs(128)
    with pytest.MonkeyPatch.context() as plainly:
        plainly.setattr(jax, "default_backend", lambda: "cpu")
        expected = values_and_gradients(*pairs)

    def step(state, rows, _, axis_name=None):
        total, gradients = values_and_gradients(*rows)
        if axis_name:
            total = jax.lax.psum(total, axis_name)
            gradients = jax.lax.all_gather(gradients, axis_name, tiled=True)
        return state, (total, gradients)

    devices = build_backend(backend, fsdp=False, num_devices=4)
    state = jnp.zeros(())
    with pltpu.force_tpu_interpret_mode():
        compiled = devices.compile(step, state)
        _, found = compiled(state, devices.put_batch(pairs), jnp.zeros(()))
    assert_close(found, expected)
    assert on_a_tpu == [(1, 1, 128, 8)]


@pytest.mark.parametrize("length", [512, 768, 1024])  # blocks of 512, 256 and 512
def test_the_kernel_is_lowered_for_a_tpu(monkeypatch, length):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    shape = jax.ShapeDtypeStruct((4, length, 12, 64), jnp.bfloat16)
    ids = jax.ShapeDtypeStruct((4, length), jnp.int32)
    traced = jax.jit(values_and_gradients).trace(shape, shape, shape, ids)
    text = traced.lower(lowering_platforms=("tpu",)).as_text()
    assert text.count("tpu_custom_call") >= 3  # forward, and two of the gradient


@pytest.mark.parametrize(
    "change",
    ["dropout", "another mask", "a short row", "no whole blocks", "a wide head"],
)
def test_what_the_tpu_kernel_does_not_take_is_computed_plainly(
    on_a_tpu, monkeypatch, change
):
    query, key, value, pair_ids = rows_of_pairs(128)
    drop = None
    if change == "dropout":
        drop = jnp.positive
    elif change == "another mask":
        pair_ids = None
    elif change == "a short row":
        monkeypatch.setattr(attention, "_LONG_ROW", 256)
    elif change == "a wide head":
        query, key, value = (np.repeat(x, 24, axis=-1) for x in (query, key, value))
    else:
        query, key, value = (x[:, :120] for x in (query, key, value))
        pair_ids = pair_ids[:, :120]
    mask = np.ones((4, query.shape[1], query.shape[1]), bool)
    attention.attend(query, key, value, mask, pair_ids=pair_ids, drop=drop)
    assert on_a_tpu == []
