"""What is said of a workdir and of a checkpoint."""

import json
import shutil

import pytest
import tiny_checkpoint
import tiny_run

from amber_jax.errors import UserError
from amber_jax.training.inspection import inspect_run
from amber_jax.training.manifest import complete_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tokenizer = tiny_run.save_tokenizer(folder / "tokenizer")
    return tiny_checkpoint.write(folder / "7", tokenizer, versions={"jax": "0.10.2"})


@pytest.fixture
def workdir(model, tmp_path):
    """A run of eight steps with checkpoints of steps 3 and 7."""
    for step in ("3", "7"):
        shutil.copytree(model, tmp_path / "checkpoints" / step)
    stages = [{"name": "first", "num_steps": 3}, {"name": "second", "num_steps": 5}]
    (tmp_path / "config.json").write_text(json.dumps({"stages": stages}), "utf-8")
    records = [
        {"kind": "train", "step": 1, "loss": 9.0},
        {"kind": "train", "step": 7, "loss": 2.5, "tokens_per_second": 100.0},
        {"kind": "evaluation", "evaluation": "held out", "step": 7, "accuracy": 0.75},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "metrics.jsonl").write_text(lines, "utf-8")
    return tmp_path


def test_a_checkpoint_tells_its_model_and_that_it_is_whole(model):
    said = inspect_run(model)
    assert said.startswith(f"checkpoint {model}: ")
    assert said.split("\n")[0].endswith(", whole")
    for words in ("model of step 7", "num_layers 2, hidden_size 16", "jax 0.10.2"):
        assert words in said
    run = json.loads((model / "run.json").read_text("utf-8"))
    assert f"tokenizer fingerprint {run['tokenizer_fingerprint'][:12]}" in said
    assert "to use, not to train on" in said


def test_a_workdir_tells_its_length_checkpoints_and_last_numbers(workdir):
    (workdir / "checkpoints" / "9.partial").mkdir()
    said = inspect_run(workdir)
    assert "8 steps: first 3, second 5" in said
    assert "log: 3 records" in said
    assert "last train: step 7: loss 2.5, tokens_per_second 100" in said
    assert "last evaluation held out: step 7: accuracy 0.75" in said
    assert "left unfinished, removed when the run goes on: 9.partial" in said
    whole = [line.split(":")[0] for line in said.split("\n") if "whole" in line]
    assert whole == ["  checkpoint 3", "  checkpoint 7"]


def test_events_are_counted_and_the_last_ones_shown(workdir):
    events = [
        {"kind": "event", "event": "skipped", "step": step, "text": f"of {step}"}
        for step in range(1, 31)
    ]
    with (workdir / "metrics.jsonl").open("a") as log:
        log.writelines(json.dumps(event) + "\n" for event in events)
    said = inspect_run(workdir).split("\n")
    assert "  events: 30 skipped" in said
    shown = [line for line in said if line.startswith("    step ")]
    assert shown == [f"    step {step}: of {step}" for step in range(11, 31)]
    assert not any("last event" in line for line in said)


def test_damage_is_told_with_its_reason_and_the_model_before_is_shown(workdir):
    (workdir / "checkpoints" / "7" / "run.json").write_text("{}", "utf-8")
    said = inspect_run(workdir)
    assert "checkpoint 7: " in said
    assert "cannot be used: run.json has 2 bytes" in said
    assert "num_layers 2" in said


def test_a_run_that_has_not_begun_says_so(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    said = inspect_run(tmp_path)
    assert "no config.json: the run has not begun" in said
    assert "no checkpoint" in said


def test_other_folders_are_none_of_its_business(tmp_path):
    assert inspect_run(tmp_path) is None
    assert inspect_run(tmp_path / "none") is None


def test_a_checkpoint_of_something_else_is_one_sentence(tmp_path):
    partial = tmp_path / "3.partial"
    (partial / "params").mkdir(parents=True)
    (partial / "params" / "array").write_text("x", "utf-8")
    (partial / "run.json").write_text('{"step": "three"}', "utf-8")
    complete_folder(partial, tmp_path / "3")
    with pytest.raises(UserError, match=r"run\.json"):
        inspect_run(tmp_path / "3")
