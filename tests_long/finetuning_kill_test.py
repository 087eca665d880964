"""A fine-tuning that is killed in a step ends with the scores of one that is not."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tiny_run

from amber_jax.pretraining import run as pretrain
from amber_jax.training.metrics import read_metrics
from benchmarks.interrupted import MEASURED

LABELS = ("contradiction", "entailment", "neutral")
SPLITS = {"train-en": 120, "dev-en": 20, "test-en": 30, "test-fr": 20}


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """A function: a workdir to the running command that fine-tunes there."""
    folder = tmp_path_factory.mktemp("xnli")
    for seed, (split, count) in enumerate(SPLITS.items()):
        draw = np.random.default_rng(seed)
        pairs = [
            f"{label} {label} {label}\t{draw.integers(10, 50)}\t{LABELS[label]}\n"
            for label in draw.integers(0, 3, count)
        ]
        (folder / f"{split}.tsv").write_text("".join(pairs))
    config = tiny_run.get_config()
    config.corpus = str(tiny_run.write_corpus(tmp_path_factory.mktemp("corpus")))
    config.stages = config.stages[:1]
    pretrained = tmp_path_factory.mktemp("pretrained")
    pretrain.pretrain(config, pretrained)

    def launched(workdir):
        return subprocess.Popen(
            [
                *(sys.executable, "launch/finetune.py", "--config=configs/xnli.py"),
                *(f"--config.data={folder}", f"--checkpoint={pretrained}"),
                *(f"--workdir={workdir}", "--config.languages=('en','fr')"),
                *("--config.seeds=(1,)", "--config.max_length=16"),
                *("--config.batch_size=4", "--config.num_epochs=3"),
                *("--config.evaluate_every=10", "--config.log_every=1"),
                *("--config.peak_learning_rate=1e-2", "--config.tensorboard=False"),
            ],
            cwd=tiny_run.ROOT,
            env={**os.environ, "PYTHONPATH": str(tiny_run.ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return launched


def test_a_killed_run_that_is_started_again_ends_with_the_same_scores(
    launched, tmp_path
):
    whole = launched(tmp_path / "whole")
    _, errors = whole.communicate(timeout=300)
    assert whole.returncode == 0, errors
    killed = launched(tmp_path / "killed")
    for line in killed.stdout:
        if " 27/90 " in line:
            killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    again = launched(tmp_path / "killed")
    output, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert "resuming from" in output
    outcomes = []
    for name in ("whole", "killed"):
        folder = tmp_path / name
        (result,) = json.loads((folder / "results.json").read_text())["results"]
        del result["checkpoint"]
        records = read_metrics(folder / "seed-1" / "metrics.jsonl")
        outcomes.append(
            (result, [{k: r[k] for k in r.keys() - MEASURED} for r in records])
        )
    assert outcomes[0] == outcomes[1]
