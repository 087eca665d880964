"""A config's stages compiled for a slice: its rows and work, and, with libtpu, all."""

import importlib.util

import jax
import pytest
import tiny_run

from amber_jax.errors import UserError
from amber_jax.model import flops
from amber_jax.pretraining.run import count_work
from benchmarks import tpu_program, tpu_slice
from benchmarks.tpu_chips import CHIPS, Chip

ROWS = tpu_slice.Rows(row_length=32, pair_tokens=10, max_pairs=3)
HAS_LIBTPU = importlib.util.find_spec("libtpu") is not None
needs_libtpu = pytest.mark.skipif(not HAS_LIBTPU, reason="libtpu is not installed")


def tiny_config(**changes):
    config = tiny_run.get_config("sa")
    config.backend = "jit"
    config.model.vocab_size = 500
    config.model.dtype = "bfloat16"
    config.update(changes)
    return config


def test_rows_that_stand_in_for_a_corpus_give_its_batches_and_its_work():
    devices = jax.devices()[:4]
    run = tpu_slice.prepare(tiny_config(), ROWS, devices)
    assert [stage.rows for stage in run.stages] == [{"mono": 8}, {"pair": 8}]
    assert run.encoder.vocab_size == 500
    assert run.backend.num_devices == 4
    first, second = (tpu_slice.mean_batch(run, stage) for stage in run.stages)
    assert first["mono"]["span_lengths"].tolist() == [[[5, 5]] * 3] * 8
    sizes = {"row_length": 32, "masking_rate": 0.15}
    spans = second["pair"]["span_lengths"]
    needed = flops.masked_lm(run.encoder, spans, **sizes) + flops.directed(
        run.encoder, spans, sentences=True, words=True
    )
    assert count_work(run, run.stages[1], second) == (8 * 30, needed)


def test_a_roofline_by_hand():
    devices = jax.devices()[:4]
    run = tpu_slice.prepare(tiny_config(), ROWS, devices)
    chip = Chip(peak=1e9, bandwidth=1e8, memory=1e9, interconnect=1e7)
    found = tpu_program.roofline(
        tpu_slice.Slice("v5e:2x2", devices, chip), run, run.stages[0]
    )
    params = sum(x.size for x in jax.tree.leaves(run.abstract_state.params))
    work = count_work(run, run.stages[0], tpu_slice.mean_batch(run, run.stages[0]))
    assert found["rows"] == 2
    assert found["products, ms"] == round(work.flops / 4 / 1e6, 1)
    # Parameters and two moments, read and written; gradients, written and read.
    assert found["state, ms"] == pytest.approx(8 * 4 * params / 1e5, abs=0.1)
    assert found["gradients, ms"] == round(2 * 4 * params * 3 / 4 / 1e4, 1)


def test_a_corpus_of_the_config_is_read(tmp_path):
    corpus = tiny_run.write_corpus(tmp_path)
    config = tiny_config(corpus=str(corpus))
    run = tpu_slice.prepare(config, ROWS, jax.devices()[:2])
    assert run.corpus.directory == corpus
    assert run.encoder.vocab_size == 500
    assert run.backend.num_devices == 2


def test_rows_are_as_many_as_devices_divide():
    with pytest.raises(UserError, match="row_multiple"):
        tpu_slice.prepare(tiny_config(row_multiple=2), ROWS, jax.devices()[:8])


def test_pairs_longer_than_a_row_are_refused():
    with pytest.raises(UserError, match="--pair_tokens"):
        tpu_slice.prepare(tiny_config(), ROWS._replace(pair_tokens=33), jax.devices())


def test_without_libtpu_the_user_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="libtpu"):
        tpu_slice.described("v5e:2x2")


def test_memory_bounds_below_some_hundred_flops_a_byte():
    found = {name: round(chip.intensity) for name, chip in CHIPS.items()}
    assert found == {"v4": 229, "v5e": 241, "v5p": 166, "v6e": 574}


@needs_libtpu
@pytest.mark.parametrize("name", ["v5e:3x3", "v9:2x2", "v5e", "v5e:axb"])
def test_a_slice_that_there_is_not_is_refused(name):
    with pytest.raises(UserError, match="--topology"):
        tpu_slice.described(name)


@needs_libtpu
def test_slices_are_of_any_size_and_v4s_devices_are_half_a_chip():
    sizes = {"v5e:1x1": 1, "v5e:4x4": 16, "v6e:16x16": 256, "v5p:2x2x1": 4}
    for name, count in sizes.items():
        found = tpu_slice.described(name)
        assert len(found.devices) == count
        assert found.device == CHIPS[name.split(":")[0]]
    half = tpu_slice.described("v4:2x2x1")
    assert len(half.devices) == 8
    assert half.device.peak == CHIPS["v4"].peak / 2


@needs_libtpu
def test_a_stage_in_miniature_compiles_and_tells_of_itself(tmp_path):
    described = tpu_slice.described("v5e:2x2")
    config = tiny_config()
    config.model.attention_dropout, config.model.max_positions = 0.0, 512
    run = tpu_slice.prepare(
        config, tpu_slice.Rows(512, 100, 4), described.devices
    )  # rows long enough for the kernel
    assert run.encoder.kernels.attention == "mosaic"
    found = tpu_program.compiled(described, run, run.stages[0], str(tmp_path))
    (memory,) = found["memory of a device, MB"]
    assert memory["rows"] == 2
    assert memory["arguments"] < memory["peak"] < 1000
    (cycles,) = found["millions of cycles, as the compiler estimates"]
    assert cycles["products"] > 0
    (moved,) = found["moved within a device"]
    assert moved["kernels in a step"] == 3 * config.model.num_layers
    assert {row["what"] for row in found["between devices"]} >= {"all-reduce"}
    (text,) = tmp_path.iterdir()
    assert text.read_text("utf-8").startswith("HloModule")
