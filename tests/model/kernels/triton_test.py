"""The GPU's attention kernel, interpreted, against the written form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attended_rows import SEEDS, heads_of, masks_of, mixed_and_gradient, on_four_devices
from jax.sharding import AbstractDevice, AbstractMesh

from amber_jax.model.kernels import attention, triton
from amber_jax.model.kernels.triton_programs import Blocks

RATE = 0.3


@pytest.fixture
def cut(monkeypatch):
    """Makes kernels use blocks of (own, visited) tokens."""

    def use(forward, backward):
        for name, sizes in (("forward", forward), ("backward", backward)):
            blocks = Blocks(*sizes, warps=4, stages=1)
            chosen = functools.partial(lambda blocks, *_: blocks, blocks)
            monkeypatch.setattr(triton, f"{name}_blocks", chosen)

    return use


@pytest.mark.parametrize(
    ("length", "heads", "width", "forward", "backward", "seeds", "directed"),
    [
        # Whole blocks, several of either; then none divides the row.
        (48, 2, 32, (16, 16), (16, 16), SEEDS, False),
        (37, 2, 32, (16, 32), (32, 16), SEEDS, True),
        # The row is one block of keys; then of queries, too.
        (61, 1, 128, (32, 16), (64, 16), None, True),
        (61, 1, 64, (64, 64), (64, 64), SEEDS, False),
        (37, 1, 16, (16, 16), (16, 32), None, False),
    ],
)
def test_the_kernel_and_its_gradient_are_the_written_ones(
    cut, length, heads, width, forward, backward, seeds, directed
):
    cut(forward, backward)
    mask = masks_of(length, directed=directed)
    heads = heads_of(mask, heads=heads, width=width)
    mixed = mixed_and_gradient(
        lambda heads: triton.attend(heads, mask, seeds, RATE), heads
    )
    expected = mixed_and_gradient(
        lambda heads: attention.attend(
            heads, mask, seeds=seeds, rate=RATE, form="written"
        ),
        heads,
    )
    for x, y in zip(mixed, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


def test_bfloat16_costs_no_more_than_in_the_written_form(cut):
    cut((32, 32), (64, 32))
    mask = masks_of(40, directed=True)
    narrow = heads_of(mask, heads=2, width=64, dtype=jnp.bfloat16)

    def run(heads, form):
        return mixed_and_gradient(
            lambda heads: attention.attend(
                heads, mask, seeds=SEEDS, rate=RATE, form=form
            ),
            heads,
        )

    exact = run(narrow.astype(jnp.float32), "written")
    for form in ("written", "triton"):
        for x, y in zip(run(narrow, form), exact, strict=True):
            assert x.dtype == jnp.bfloat16
            distance = jnp.linalg.norm((x.astype(jnp.float32) - y).ravel())
            assert distance < 0.01 * jnp.linalg.norm(y.ravel())


def test_blocks_in_which_no_pair_meets_are_not_visited(cut):
    cut((16, 16), (16, 16))
    mask = masks_of(48, directed=False)
    heads = heads_of(mask, heads=1, width=16)
    # A block behind a row's pairs is not looked at, whatever stands in it.
    behind = np.asarray(mask.pair_ids == 0)
    last = behind[:, 32:].all(1)[:, None] & (np.arange(48) >= 32)
    spoiled = jnp.where(last[..., None, None, None], jnp.nan, heads)
    mixed = triton.attend(spoiled, mask, SEEDS, RATE)
    unspoiled = triton.attend(heads, mask, SEEDS, RATE)
    real = np.asarray(mask.pair_ids > 0)
    np.testing.assert_array_equal(mixed[real], unspoiled[real])
    assert (np.asarray(mixed)[last] == 0).all()


@pytest.mark.parametrize(
    ("backend", "fsdp"), [("jit", False), ("jit", True), ("pmap", False)]
)
def test_every_device_runs_the_kernel_on_its_own_rows(cut, backend, fsdp):
    cut((16, 16), (16, 16))
    mask = jax.tree.map(lambda x: x[:4], masks_of(32, directed=True))
    heads = heads_of(mask, heads=1, width=16, dtype=jnp.bfloat16)
    seeds = SEEDS[:4]

    def run(heads, mask, seeds):
        return mixed_and_gradient(
            lambda heads: attention.attend(
                heads, mask, seeds=seeds, rate=RATE, form="triton"
            ),
            heads,
        )

    mixed = on_four_devices(run, (heads, mask, seeds), backend, fsdp=fsdp)
    # The number of which the gradient is taken counts entries of its own rows.
    np.testing.assert_array_equal(mixed[0], run(heads, mask, seeds)[0])


@pytest.mark.parametrize("change", ["float32", "an odd width"])
def test_what_the_kernel_does_not_take_is_written_out(monkeypatch, change):
    monkeypatch.setattr(triton, "attend", None)
    mask = masks_of(40, directed=False)
    heads = heads_of(
        mask,
        heads=1,
        width=24 if change == "an odd width" else 32,
        dtype=jnp.float32 if change == "float32" else jnp.bfloat16,
    )
    written, fallen_back = (
        attention.attend(heads, mask, seeds=SEEDS, rate=RATE, form=form)
        for form in ("written", "triton")
    )
    np.testing.assert_array_equal(written, fallen_back)


@pytest.mark.parametrize("length", [100, 128, 256])
def test_the_kernel_is_lowered_for_a_gpu(length):
    mask = masks_of(length, directed=True)
    heads = heads_of(mask, heads=2, width=64, dtype=jnp.bfloat16)

    def run(heads, mask, seeds):
        return mixed_and_gradient(
            lambda heads: triton.attend(heads, mask, seeds, RATE), heads
        )

    hopper = AbstractDevice("NVIDIA H100 80GB HBM3", num_cores=None, platform="gpu")
    with jax.sharding.use_abstract_mesh(AbstractMesh((), (), abstract_device=hopper)):
        traced = jax.jit(run).trace(heads, mask, SEEDS)
        lowered = traced.lower(lowering_platforms=("cuda",))
    assert lowered.as_text().count("xla.gpu.triton") >= 2
