"""Our step on the common work: as a command, and what its settings change."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from amber_jax import config as settings
from amber_jax.errors import UserError
from amber_jax.losses import LOSSES
from benchmarks import own_step, workload

ROOT = Path(__file__).parents[2]
MASKED_LM = own_step.Settings(
    size=workload.sized("tiny", row_length=32, rows=16),
    lengths="full",
    packed=True,
    losses=("masked_lm",),
    backend="jit",
    dtype="float32",
    dropout=0.0,
    micro_batches=1,
    steps=2,
    warmup=1,
    seed=0,
    wait_idle=False,
)
ALL_LOSSES = dataclasses.replace(
    MASKED_LM, lengths="pairs", losses=LOSSES, backend="pmap"
)


def test_the_command_prints_one_line_of_json():
    command = [sys.executable, "-m", "benchmarks.training_step", "--size=tiny"]
    done = subprocess.run(
        [*command, "--steps=2", "--warmup=1", "--row_length=32"],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert result["program"] == "amber_jax"
    assert result["settings"]["size"]["row_length"] == 32
    assert result["tokens_per_step"] == 4 * 32
    assert result["real_share"] == 1
    for name in ("tokens_per_s", "tokens_per_cpu_s", "step_ms", "cpu_ms", "gflops"):
        assert result[name] > 0
    assert result["first_step_s"] > 0
    assert 100 < result["peak_rss_mb"] < 5000
    assert len(result["losses"]) == 3


def test_what_is_not_said_is_as_in_configs():
    config = settings.pretraining()
    for name, block in own_step.DEFAULTS.items():
        fields = config[name].to_dict()
        assert {key: fields[key] for key in block} == block
        assert name == "model" or fields.keys() == block.keys()


def test_the_loss_starts_at_chance_and_falls():
    result = own_step.measure(dataclasses.replace(MASKED_LM, steps=30))
    losses = result["losses"]
    np.testing.assert_allclose(losses[0], np.log(MASKED_LM.size.vocab_size), atol=0.2)
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.02


def test_all_losses_are_summed_over_packed_pairs():
    result = own_step.measure(ALL_LOSSES)
    assert np.isfinite(result["losses"]).all()
    # Each sentence loss starts at the logarithm of its candidates, or above.
    assert result["losses"][0] > np.log(ALL_LOSSES.size.vocab_size) + 2
    assert result["real_share"] > 0.8
    assert result["gflops"] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": ("masked_lm", "mask")}, "--losses has mask"),
        ({"losses": ()}, "--losses has nothing"),
        ({"losses": LOSSES}, "alignment needs --lengths=pairs"),
        ({"micro_batches": 5}, "--rows is 16, which"),
        ({"kernels": ("layers=twice",)}, "kernels has layers=twice"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        own_step.measure(dataclasses.replace(MASKED_LM, **change))
