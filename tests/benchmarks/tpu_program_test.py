"""A config's stages compiled for a slice: its rows and work, and, with libtpu, all."""

import importlib.util

import jax
import pytest
import tiny_run

from amber_jax.pretraining import stand_in
from amber_jax.pretraining.run import count_work
from amber_jax.training import slices
from amber_jax.training.slices import Chip
from benchmarks import tpu_program

ROWS = stand_in.Rows(row_length=32, pair_tokens=10, max_pairs=3)
HAS_LIBTPU = importlib.util.find_spec("libtpu") is not None
needs_libtpu = pytest.mark.skipif(not HAS_LIBTPU, reason="libtpu is not installed")


def tiny_config(**changes):
    config = tiny_run.get_config("sa")
    config.backend = "jit"
    config.model.vocab_size = 500
    config.model.dtype = "bfloat16"
    config.update(changes)
    return config


def test_a_roofline_by_hand():
    devices = jax.devices()[:4]
    run = stand_in.prepare(tiny_config(), ROWS, devices)
    chip = Chip(peak=1e9, bandwidth=1e8, memory=1e9, interconnect=1e7)
    row = tpu_program.roofline(
        slices.Slice("v5e:2x2", devices, chip), run, run.stages[0]
    )
    params = sum(x.size for x in jax.tree.leaves(run.abstract_state.params))
    work = count_work(run, run.stages[0], stand_in.mean_batch(run, run.stages[0]))
    assert row["rows"] == 2
    assert row["products, ms"] == round(work.flops / 4 / 1e6, 1)
    # Parameters and two moments, read and written; gradients, written and read.
    assert row["state, ms"] == pytest.approx(8 * 4 * params / 1e5, abs=0.1)
    assert row["gradients, ms"] == round(2 * 4 * params * 3 / 4 / 1e4, 1)


@needs_libtpu
def test_a_stage_in_miniature_compiles_and_tells_of_itself(tmp_path):
    described = slices.described("v5e:2x2")
    config = tiny_config()
    config.model.hidden_size = 32 * config.model.num_heads  # a width the kernel takes
    config.model.max_positions = 128
    run = stand_in.prepare(config, stand_in.Rows(128, 30, 4), described.devices)
    assert run.encoder.kernels.attention == "mosaic"
    shown = tpu_program.compiled(described, run, run.stages[0], str(tmp_path))
    (memory,) = shown["memory of a device, MB"]
    assert memory["rows"] == 2
    assert memory["arguments"] < memory["peak"] < 1000
    (cycles,) = shown["millions of cycles, as the compiler estimates"]
    assert cycles["all"] > 0  # products round to 0 in miniature
    (moved,) = shown["moved within a device"]
    assert moved["kernels in a step"] == 2 * config.model.num_layers
    assert {row["what"] for row in shown["between devices"]} >= {"all-reduce"}
    (text,) = tmp_path.iterdir()
    assert text.read_text("utf-8").startswith("HloModule")
