"""Memory and time by arithmetic, counted by hand for an encoder in miniature."""

import dataclasses

import jax
import pytest
import tiny_run

from amber_jax.pretraining import budget, stand_in
from amber_jax.training.slices import CHIPS, Chip

ROWS = stand_in.Rows(row_length=32, pair_tokens=10, max_pairs=3)


def run_of(devices=1, dtype="bfloat16", layers=2, **changes):
    config = tiny_run.get_config("sa")
    config.backend = "jit"
    config.model.vocab_size = 500
    config.model.dtype = dtype
    config.model.num_layers = layers
    config.update(changes)
    chip = CHIPS["v5e"]
    return stand_in.prepare(config, ROWS, jax.devices()[:devices], suited=chip)


def kept(run, stage):
    return budget.memory(run, stage).kept


def test_a_layer_keeps_the_inputs_of_its_products_norms_and_gelu():
    shallow, deep = (run_of(layers=layers) for layers in (2, 3))
    sizes = deep.encoder
    tokens = deep.stages[0].rows["mono"] * ROWS.row_length
    width, wide = sizes.hidden_size, sizes.intermediate_size
    # Of a token in bfloat16: a layer's input, query, key and value, what they give, the
    # inputs of two norms, the output of the first, GELU's input and output.
    of_token = 2 * (8 * width + 2 * wide)
    # In float32: attention's total of every head, a norm's mean and rate.
    of_token += 4 * (sizes.num_heads + 4)
    kernels = 2 * (4 * width**2 + 2 * width * wide)  # narrow copies
    seeds = deep.stages[0].rows["mono"] * 2 * 4  # of dropout
    more = kept(deep, deep.stages[0]) - kept(shallow, shallow.stages[0])
    assert more == pytest.approx(tokens * of_token + kernels, abs=8 * seeds)


def test_devices_and_micro_batches_divide_what_is_kept():
    alone, of_four = run_of(), run_of(devices=4)
    stage = alone.stages[0]
    halved = dataclasses.replace(stage, micro_batches=2)
    fixed = 2 * kept(alone, halved) - kept(alone, stage)  # kernels, words' gradient
    shared = kept(alone, stage) - fixed
    assert kept(of_four, of_four.stages[0]) == fixed + shared // 4
    memory = budget.memory(alone, halved)
    assert memory.accumulated == memory.gradients
    assert memory.peak == memory.state + memory.temporaries


def test_recomputation_keeps_the_inputs_of_layers_alone():
    kept_of_layers = []
    for layers in (2, 3):
        run = run_of(layers=layers)
        encoder = dataclasses.replace(run.encoder, remat=True)
        recomputing = dataclasses.replace(run, encoder=encoder)
        kept_of_layers.append(kept(recomputing, run.stages[0]))
        assert kept_of_layers[-1] < kept(run, run.stages[0])
    tokens = run.stages[0].rows["mono"] * ROWS.row_length
    more = kept_of_layers[1] - kept_of_layers[0]
    assert more == pytest.approx(2 * tokens * run.encoder.hidden_size, abs=1000)


def test_a_sharded_state_and_its_gradients_take_their_share():
    whole, sharded = run_of(devices=4), run_of(devices=4, fsdp=True)
    before, after = (budget.memory(run, run.stages[0]) for run in (whole, sharded))
    assert after.state < 0.3 * before.state
    assert after.gradients < 0.3 * before.gradients
    assert after.kept == before.kept


def test_what_saves_memory_is_tried_in_order_and_each_saves():
    run = run_of(devices=2)
    stage = run.stages[0]
    assert stage.rows == {"mono": 8}
    peaks = {
        flags: budget.memory(*changed) for flags, *changed in budget.smaller(run, stage)
    }
    divided = [f"--config.stages[0].micro_batches={parts}" for parts in (2, 4)]
    remat = "--config.model.remat=True"
    tried = [*divided, remat, *(f"{remat} {more}" for more in divided)]
    if budget.memory(run, stage).state > budget.memory(run, stage).temporaries:
        fsdp = "--config.fsdp=True"
        tried = [fsdp, *(f"{fsdp} {more}" for more in tried)]
    assert list(peaks) == tried
    for parts in divided:
        assert min(m.kept for name, m in peaks.items() if parts in name) < kept(
            run, stage
        )


def test_a_schedule_by_hand():
    run = run_of(devices=4)
    chip = Chip(peak=1e9, bandwidth=1e8, memory=1e9, interconnect=1e7)
    stage = run.stages[0]
    planned = budget.schedule(run, stage, chip, mfu=0.5)
    assert planned.step_seconds == planned.step_flops / (4 * 0.5 * 1e9)
    assert planned.steps == stage.end - stage.start
    assert planned.hours == planned.steps * planned.step_seconds / 3600
    # 32 tokens, three pairs of two lengths and four words of a frame.
    assert run.corpus.row_bytes == 4 * (32 + 6 + 4)
    assert planned.input_rate == 8 * run.corpus.row_bytes / planned.step_seconds
    assert planned.input_rate_of_a_host == planned.input_rate  # one host has four chips
    params = sum(x.size for x in jax.tree.leaves(run.abstract_state.params))
    assert planned.traffic.state == pytest.approx(8 * 4 * params / 1e8, rel=1e-3)
    assert planned.traffic.gradients == 2 * 4 * params * 3 / 4 / 1e7
