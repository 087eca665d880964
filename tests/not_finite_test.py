"""What NaN in a step's loss costs: that update, or, step after step, the run."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_run

from amber_jax.pretraining import run as pretrain
from amber_jax.pretraining import stages
from amber_jax.training.checkpoint import find_checkpoint
from amber_jax.training.inspection import inspect_run
from amber_jax.training.metrics import read_metrics

# The command, with NaN in the losses of every stage from its fourth step on.
PLANTED = """
import jax.numpy as jnp
from amber_jax.pretraining import stages
from amber_jax.verbs import pretrain
from amber_jax.commands.command_line import run

weights = stages.loss_weights

def planted(losses, step):
    factor = jnp.where(step >= 3, jnp.nan, 1.0)
    return {name: w * factor for name, w in weights(losses, step).items()}

stages.loss_weights = planted
run(pretrain.main, on_devices=True)
"""


@pytest.fixture
def config(corpus):
    config = tiny_run.get_config("tlm")
    config.corpus, config.stages = str(corpus), config.stages[:1]
    config.backend, config.num_devices = "jit", 1
    return config


def plant(monkeypatch, bad_step):
    """Makes the loss of one step of a stage NaN."""
    weights = stages.loss_weights

    def planted(losses, step):
        factor = jnp.where(step == bad_step, jnp.nan, 1.0)
        return {name: w * factor for name, w in weights(losses, step).items()}

    monkeypatch.setattr(stages, "loss_weights", planted)


def test_a_step_with_nan_is_skipped_told_and_reaches_no_parameter(
    config, tmp_path, monkeypatch, capsys
):
    plant(monkeypatch, bad_step=1)  # the second
    state = pretrain.pretrain(config, tmp_path)

    assert (int(state.step), int(state.skipped)) == (3, 1)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))
    log = read_metrics(tmp_path / "metrics.jsonl")
    losses = {r["step"]: r["loss"] for r in log if r["kind"] == "train"}
    assert [step for step, loss in losses.items() if loss is None] == [2]
    happened = [record for record in log if record["kind"] == "event"]
    assert [(e["event"], e["step"], e["skipped"]) for e in happened] == [
        ("skipped", 2, 1)
    ]
    sentence = "1 update was not finite and not applied, 1 in all"
    assert f"skipped at step 2: {sentence}" in capsys.readouterr().out
    assert f"step 2: {sentence}" in inspect_run(tmp_path)


def test_nan_in_every_step_ends_the_command_with_a_report(corpus, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-c", PLANTED, "--config=tests/tiny_run.py:tlm"),
            *(f"--config.corpus={corpus}", f"--workdir={tmp_path}"),
            *("--config.max_skipped_in_a_row=2", "--config.save_every=3"),
            *("--config.backend=jit", "--config.num_devices=1"),
            *("--config.log_every=3", "--config.stages[0].num_steps=9"),
        ],
        cwd=tiny_run.ROOT,
        env={**os.environ, "PYTHONPATH": str(tiny_run.ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr  # nobody is to start it again as it is
    assert "Traceback" not in done.stderr
    wanted = (
        "error: step 5: 2 updates in a row, from step 4 on, were not finite "
        "(grad_norm, loss"
    )
    assert done.stderr.splitlines()[-1].startswith(wanted), done.stderr
    checkpoint = tmp_path / "checkpoints" / "3"
    assert f"the last good checkpoint is {checkpoint}" in done.stderr
    assert find_checkpoint(tmp_path).path == checkpoint
    # The step that ended it is in the log, though it is no third one.
    last = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()][-2:]
    assert [(record["kind"], record["step"]) for record in last] == [
        ("train", 5),
        ("event", 5),
    ]
    assert last[0]["loss"] is None
