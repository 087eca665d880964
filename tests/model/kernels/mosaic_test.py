"""The TPU's attention kernel, interpreted, against the written form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attended_rows import SEEDS, heads_of, masks_of, mixed_and_gradient, on_four_devices

from amber_jax.model.kernels import attention, mosaic

RATE = 0.3
TIMES = 7  # pairs of all sizes then reach over blocks of 128 tokens


def run(heads, mask, form, seeds=SEEDS):
    return mixed_and_gradient(
        lambda heads: attention.attend(heads, mask, seeds=seeds, rate=RATE, form=form),
        heads,
    )


@pytest.fixture
def handed_to_mosaic(monkeypatch):
    """The shapes that a TPU's kernel gets."""
    shapes = []
    attend = mosaic.attend

    def counted(stacked, *args):
        shapes.append(stacked.shape)
        return attend(stacked, *args)

    monkeypatch.setattr(mosaic, "attend", counted)
    return shapes


@pytest.mark.parametrize(
    ("length", "heads", "width", "seeds", "directed"),
    [
        # One block; several; and of two sizes, with heads in more groups than one.
        (128, 2, 32, SEEDS, True),
        (128, 1, 128, None, False),
        (384, 3, 32, SEEDS, True),
        (384, 1, 64, SEEDS, False),
        (384, 1, 32, None, True),
        (512, 6, 32, SEEDS, True),
    ],
)
def test_the_kernel_and_its_gradient_are_the_written_ones(
    handed_to_mosaic, length, heads, width, seeds, directed
):
    mask = masks_of(length, directed=directed, times=1 if length == 128 else TIMES)
    stacked = heads_of(mask, heads=heads, width=width)
    expected = run(stacked, mask, "written", seeds)
    assert handed_to_mosaic == []
    mixed = run(stacked, mask, "mosaic", seeds)
    assert handed_to_mosaic == [stacked.shape]
    for x, y in zip(mixed, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


def test_bfloat16_costs_its_own_rounding_and_no_more():
    mask = masks_of(256, directed=True, times=5)
    narrow = heads_of(mask, heads=2, width=64, dtype=jnp.bfloat16)
    exact = run(narrow.astype(jnp.float32), mask, "written")
    for form in ("written", "mosaic"):
        for x, y in zip(run(narrow, mask, form), exact, strict=True):
            assert x.dtype == jnp.bfloat16
            distance = jnp.linalg.norm((x.astype(jnp.float32) - y).ravel())
            assert distance < 0.01 * jnp.linalg.norm(y.ravel())


def test_blocks_in_which_no_pair_meets_are_not_visited():
    mask = masks_of(384, directed=False, times=TIMES)
    heads = heads_of(mask, heads=1, width=32)
    # A block behind a row's pairs is not looked at, whatever stands in it.
    behind = np.asarray(mask.pair_ids == 0)
    last = behind[:, 256:].all(1)[:, None] & (np.arange(384) >= 256)
    assert last.any(1).sum() == len(mask.pair_ids)
    spoiled = jnp.where(last[..., None, None, None], jnp.nan, heads)
    real = np.asarray(mask.pair_ids > 0)

    def attended(heads):
        def number(heads):
            mixed = mosaic.attend(heads, mask, SEEDS, RATE)
            return jnp.sin(jnp.where(real[..., None, None], mixed, 0)).sum(), mixed

        gradient, mixed = jax.grad(number, has_aux=True)(heads)
        return mixed, gradient

    spoiled, unspoiled = attended(spoiled), attended(heads)
    for x, y in zip(spoiled, unspoiled, strict=True):
        np.testing.assert_array_equal(x[real], y[real])
        assert (np.asarray(x)[last] == 0).all()


@pytest.mark.parametrize(
    ("backend", "fsdp"), [("jit", False), ("jit", True), ("pmap", False)]
)
def test_every_device_runs_the_kernel_on_its_own_rows(handed_to_mosaic, backend, fsdp):
    mask = jax.tree.map(lambda x: x[:4], masks_of(128, directed=True))
    heads = heads_of(mask, heads=1, width=32)
    expected = run(heads, mask, "mosaic", SEEDS[:4])[0]
    handed_to_mosaic.clear()

    mixed = on_four_devices(
        lambda heads, mask, seeds: run(heads, mask, "mosaic", seeds),
        (heads, mask, SEEDS[:4]),
        backend,
        fsdp=fsdp,
    )
    # The number of which the gradient is taken counts entries of its own rows.
    np.testing.assert_array_equal(mixed[0], expected)
    assert handed_to_mosaic == [(1, 128, 3, 1, 32)]


@pytest.mark.parametrize(
    ("length", "width"), [(120, 32), (128, 24), (8192, 64), (64, 64)]
)
def test_what_the_kernel_does_not_take_is_written_out(handed_to_mosaic, length, width):
    shape = jax.ShapeDtypeStruct((5, length, 3, 1, width), jnp.bfloat16)
    mask = masks_of(length, directed=False)
    traced = jax.jit(
        lambda heads: attention.attend(
            heads, mask, seeds=SEEDS, rate=RATE, form="mosaic"
        )
    ).trace(shape)
    assert "pallas_call" not in str(traced.jaxpr)
    assert handed_to_mosaic == []


@pytest.mark.parametrize(
    ("length", "seeds"), [(128, SEEDS), (128, None), (384, SEEDS), (4096, SEEDS)]
)
def test_the_kernel_is_lowered_for_a_tpu(length, seeds):
    mask = masks_of(length, directed=True)
    heads = jax.ShapeDtypeStruct((5, length, 3, 12, 64), jnp.bfloat16)
    traced = jax.jit(lambda heads: run(heads, mask, "mosaic", seeds)).trace(heads)
    text = traced.lower(lowering_platforms=("tpu",)).as_text()
    assert text.count("tpu_custom_call") >= 2  # forward, and the gradient
