"""Attention written out against a naive one, and what kernels of accelerators take."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attended_rows import SEEDS, masks_of, stacked, three_of
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas.ops.tpu import flash_attention

from amber_jax.model import rows
from amber_jax.model.kernels import attention, dropout
from amber_jax.training.parallel import build_backend

RATE = 0.3


def naive(query, key, value, mask, seeds, rate):
    """(mixed, probabilities) by what JAX differentiates itself."""
    scores = jnp.einsum("bqhk,bshk->bhqs", query, key) / query.shape[-1] ** 0.5
    shares = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
    shares = jnp.where(mask.dense()[:, None], shares, 0)
    probs = shares / jnp.maximum(shares.sum(-1, keepdims=True), 1e-30)
    staying = probs
    if seeds is not None:
        keep = dropout.kept(seeds, probs.shape, rate)
        staying = jnp.where(keep, probs / (1 - rate), 0)
    return jnp.einsum("bhqs,bshk->bqhk", staying, value), probs


def number_of(outcome):
    """Something that depends on every entry of a pair (mixed, probabilities)."""
    mixed, probs = (x.astype(jnp.float32) for x in outcome)
    words = jnp.cos(jnp.arange(probs.shape[-1], dtype=jnp.float32))
    return jnp.sin(mixed).sum() + (jnp.sin(3 * probs) @ words).sum()


def assert_close(tree, expected, tolerance):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance),
        tree,
        expected,
    )


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("seeds", [None, SEEDS], ids=["whole", "dropped"])
@pytest.mark.parametrize(
    ("length", "heads", "width"), [(37, 2, 32), (48, 1, 64), (61, 1, 128)]
)
def test_the_written_form_and_its_gradients_are_the_naive_ones(
    length, heads, width, seeds, directed
):
    mask = masks_of(length, directed=directed)
    three = three_of(mask, heads=heads, width=width)
    rate = round(RATE * 2**16) / 2**16  # as exact as dropout is

    def written(query, key, value):
        return attention.attend_with_probs(
            stacked((query, key, value)), mask, seeds=seeds, rate=rate
        )

    def plain(query, key, value):
        return naive(query, key, value, mask, seeds, rate)

    assert_close(written(*three), plain(*three), 1e-5)
    gradient, expected = (
        jax.jit(jax.grad(lambda *x, f=f: number_of(f(*x)), argnums=(0, 1, 2)))(*three)
        for f in (written, plain)
    )
    assert_close(gradient, expected, 1e-5)
    alone = attention.attend(
        stacked(three), mask, seeds=seeds, rate=rate, form="written"
    )
    np.testing.assert_array_equal(alone, written(*three)[0])


@pytest.mark.parametrize("directed", [False, True])
def test_bfloat16_costs_its_own_rounding_and_no_more(directed):
    mask = masks_of(40, directed=directed)
    narrow = three_of(mask, heads=2, width=64, dtype=jnp.bfloat16)
    wide = narrow.astype(jnp.float32)

    def gradients(three):
        def number(*three):
            attended = attention.attend_with_probs(
                stacked(three), mask, seeds=SEEDS, rate=RATE
            )
            return number_of(attended)

        return jax.jit(jax.grad(number, argnums=(0, 1, 2)))(*three)

    for gradient, expected in zip(gradients(narrow), gradients(wide), strict=True):
        assert gradient.dtype == jnp.bfloat16
        difference = gradient.astype(jnp.float32) - expected
        # 8 bits of mantissa, in a handful of roundings.
        assert jnp.linalg.norm(difference) < 0.01 * jnp.linalg.norm(expected)


def test_nothing_of_every_two_tokens_is_kept_for_the_backward_pass():
    mask = masks_of(64, directed=True)
    three = three_of(mask, heads=4, width=8)

    def run(query, key, value):
        return attention.attend(
            stacked((query, key, value)), mask, seeds=SEEDS, rate=RATE, form="written"
        )

    _, pull = jax.vjp(run, *three)
    assert max(leaf.size for leaf in jax.tree.leaves(pull)) == three[0].size


def test_padding_attends_nothing_and_gets_zeros():
    mask = masks_of(40, directed=False)
    three = three_of(mask, heads=1, width=8)
    mixed, probs = attention.attend_with_probs(
        stacked(three), mask, seeds=None, rate=0.0
    )
    padding = np.asarray(mask.pair_ids == 0)
    assert padding.any() and (np.asarray(mixed)[padding] == 0).all()
    assert (np.asarray(probs).swapaxes(1, 2)[padding] == 0).all()


def attend(three, mask, *, form, seeds=None):
    return attention.attend(stacked(three), mask, seeds=seeds, rate=RATE, form=form)


def rows_of_pairs(length):
    """Query, key and value of 4 rows, and the pairs in them."""
    rng = np.random.default_rng(1)
    query, key, value = rng.normal(size=(3, 4, length, 1, 8)).astype(np.float32)
    pair_ids = np.sort(rng.integers(1, 5, (4, length)), axis=1)
    pair_ids[:, length - 8 :] = 0  # padding
    return query, key, value, pair_ids.astype(np.int32)


def mask_of(pair_ids, *, directed=False):
    return rows.Mask(pair_ids, 0 * pair_ids, 0 * pair_ids, directed)


def sines(query, key, value, pair_ids, form):
    """A number that depends on what all the tokens of pairs attend."""
    mixed = attend((query, key, value), mask_of(pair_ids), form=form)
    return (jnp.sin(mixed) * (pair_ids > 0)[..., None, None]).sum()


values_and_gradients = jax.value_and_grad(sines, argnums=(0, 1, 2))


@pytest.fixture
def handed_to_mosaic(monkeypatch):
    """Queries that a TPU's kernel would get; rows are long from one block on."""
    monkeypatch.setattr(attention, "_LONG_ROW", 128)
    calls = []
    kernel = flash_attention.flash_attention

    def counted(query, *args, **options):
        calls.append(query.shape)
        return kernel(query, *args, **options)

    monkeypatch.setattr(flash_attention, "flash_attention", counted)
    return calls


@pytest.mark.parametrize("length", [128, 384])  # one block, and three
def test_long_rows_on_a_tpu_go_to_the_kernel_that_knows_pairs(length, handed_to_mosaic):
    pairs = rows_of_pairs(length)
    expected = values_and_gradients(*pairs, "written")
    assert handed_to_mosaic == []
    with pltpu.force_tpu_interpret_mode():
        assert_close(values_and_gradients(*pairs, "mosaic"), expected, 1e-4)
    assert handed_to_mosaic == [(4, 1, length, 8)]


@pytest.mark.parametrize("backend", ["jit", "pmap"])
def test_every_device_runs_the_kernel_on_its_own_rows(handed_to_mosaic, backend):
    pairs = rows_of_pairs(128)
    expected = values_and_gradients(*pairs, "written")

    def step(state, rows, _, axis_name=None):
        total, gradients = values_and_gradients(*rows, "mosaic")
        if axis_name:
            total = jax.lax.psum(total, axis_name)
            gradients = jax.lax.all_gather(gradients, axis_name, tiled=True)
        return state, (total, gradients)

    devices = build_backend(backend, fsdp=False, num_devices=4)
    state = jnp.zeros(())
    with pltpu.force_tpu_interpret_mode():
        compiled = devices.compile(step, state)
        _, attended = compiled(state, devices.put_batch(pairs), jnp.zeros(()))
    assert_close(attended, expected, 1e-4)
    assert handed_to_mosaic == [(1, 1, 128, 8)]


@pytest.mark.parametrize("length", [512, 768, 1024])  # blocks of 512, 256 and 512
def test_the_kernel_is_lowered_for_a_tpu(length):
    shape = jax.ShapeDtypeStruct((4, length, 12, 64), jnp.bfloat16)
    ids = jax.ShapeDtypeStruct((4, length), jnp.int32)
    run = jax.jit(values_and_gradients, static_argnums=4)
    traced = run.trace(shape, shape, shape, ids, "mosaic")
    text = traced.lower(lowering_platforms=("tpu",)).as_text()
    assert text.count("tpu_custom_call") >= 3  # forward, and two of the gradient


@pytest.mark.parametrize(
    "change", ["dropout", "directed", "a short row", "no whole blocks", "a wide head"]
)
def test_what_the_tpu_kernel_does_not_take_is_written_out(
    handed_to_mosaic, monkeypatch, change
):
    query, key, value, pair_ids = rows_of_pairs(128)
    if change == "a short row":
        monkeypatch.setattr(attention, "_LONG_ROW", 256)
    elif change == "a wide head":
        query, key, value = (np.repeat(x, 24, axis=-1) for x in (query, key, value))
    elif change == "no whole blocks":
        query, key, value = (x[:, :120] for x in (query, key, value))
        pair_ids = pair_ids[:, :120]
    mask = mask_of(pair_ids, directed=change == "directed")
    seeds = SEEDS[:4] if change == "dropout" else None
    attend((query, key, value), mask, form="mosaic", seeds=seeds)
    assert handed_to_mosaic == []
