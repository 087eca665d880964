"""A run that was stopped or killed and started again is the run that never was.

Parameters, optimizer memory and metrics.jsonl are compared bit for bit, timings aside.
"""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
import tiny_run

from amber_jax.pretraining import run as pretrain
from amber_jax.training.checkpoint import find_checkpoint
from amber_jax.training.console import Console
from amber_jax.training.metrics import read_metrics
from benchmarks.interrupted import lasting_records as records
from benchmarks.interrupted import saved_arrays

# Runs by variant, back end and length of the first stage: at step 3 one of them stands
# at the border of its two stages, the other before it.
RUNS = {"at the border": ("sa", "pmap", 3), "before the border": ("tlm", "jit", 4)}


@pytest.fixture(scope="module")
def config_of(corpus, tmp_path_factory):
    """A function: the config of one of RUNS."""
    table = tmp_path_factory.mktemp("evaluation") / "pairs.tsv"
    table.write_text("en\tfr\n" + "".join(f"{n} 1\t{n} 2\n" for n in range(5)))

    def config_of(which):
        variant, backend, border = RUNS[which]
        config = tiny_run.get_config(variant)
        config.corpus, config.backend = str(corpus), backend
        config.stages[0].num_steps, config.stages[1].num_steps = border, 6 - border
        if variant == "sa":
            with config.unlocked():
                config.evaluations = (tiny_run.retrieval(table),)
        config.evaluate_every = 3
        config.save_every = 0  # at the start, the border and the end
        return config

    return config_of


@pytest.fixture(scope="module")
def undisturbed(config_of, tmp_path_factory):
    """A function: the workdir of one of RUNS that nobody stopped."""
    workdirs = {}

    def undisturbed(which):
        if which not in workdirs:
            workdirs[which] = tmp_path_factory.mktemp("undisturbed")
            pretrain.pretrain(config_of(which), workdirs[which])
        return workdirs[which]

    return undisturbed


def saved_state(workdir):
    """Returns the bytes of every array of the last checkpoint, by name."""
    assert find_checkpoint(workdir).step == 6
    return saved_arrays(workdir)


def assert_same_run(workdir, wanted):
    assert records(workdir) == records(wanted)
    state, expected = saved_state(workdir), saved_state(wanted)
    assert state.keys() == expected.keys()
    assert [name for name in state if state[name] != expected[name]] == []


@contextlib.contextmanager
def signal_during(step, monkeypatch):
    """Sends this process SIGTERM while `step` runs, once."""
    show = Console.train

    def train(console, record):
        show(console, record)
        # Records of a step are written when the next one has been dispatched.
        if record["step"] == step - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Console, "train", train)
        yield


@pytest.mark.parametrize("which", RUNS)
def test_three_steps_a_restart_and_three_more_are_six_steps(
    which, config_of, undisturbed, tmp_path, monkeypatch, capsys
):
    with signal_during(3, monkeypatch):
        state = pretrain.pretrain(config_of(which), tmp_path)
    assert int(state.step) == 3
    assert "asked to stop: saved step 3" in capsys.readouterr().out
    assert find_checkpoint(tmp_path).step == 3

    state = pretrain.pretrain(config_of(which), tmp_path)
    assert int(state.step) == 6
    assert f"resuming from {tmp_path / 'checkpoints' / '3'}" in capsys.readouterr().out
    assert_same_run(tmp_path, undisturbed(which))


def test_the_runs_have_something_to_lose(undisturbed):
    """Dropout and two stages are there, and every step differs."""
    for which in RUNS:
        workdir = undisturbed(which)
        lines = read_metrics(workdir / "metrics.jsonl")
        train = [line for line in lines if line["kind"] == "train"]
        assert [line["step"] for line in train] == [1, 2, 3, 4, 5, 6]
        assert len({line["loss"] for line in train}) == 6
        variant, _, border = RUNS[which]
        assert [line["stage"] for line in train] == [
            *["monolingual"] * border,
            *["aligned"] * (6 - border),
        ]
        assert ("sentence_alignment" in train[-1]) == (variant == "sa")
        evaluated = [line["step"] for line in lines if line["kind"] == "eval"]
        assert evaluated == ([0, 3, 6] if variant == "sa" else [])
        run = find_checkpoint(workdir).run
        assert run["config"]["model"]["hidden_dropout"] == 0.1


def test_a_finished_run_that_is_started_again_stays_as_it_is(
    config_of, undisturbed, tmp_path
):
    workdir = undisturbed("at the border")
    before = records(workdir), saved_state(workdir)
    state = pretrain.pretrain(config_of("at the border"), workdir)
    assert int(state.step) == 6
    assert (records(workdir), saved_state(workdir)) == before


def command(corpus, workdir):
    """Returns the command line of the run "at the border", without evaluations."""
    return [
        *(sys.executable, "launch/pretrain.py", "--config=tests/tiny_run.py"),
        *(f"--config.corpus={corpus}", f"--workdir={workdir}"),
        "--config.save_every=2",
    ]


@pytest.fixture
def start():
    """A function that starts a command; what a failed test leaves is killed."""
    with contextlib.ExitStack() as stack:

        def start(arguments):
            process = subprocess.Popen(
                arguments,
                cwd=tiny_run.ROOT,
                env={**os.environ, "PYTHONPATH": str(tiny_run.ROOT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def read_until_a_step(process):
    """Returns what the command prints up to the line of the first finished step."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "tokens/s" in line:
            return "".join(lines)
    pytest.fail(f"no step was ever finished: {process.communicate()[1]}")


def train_records(workdir):
    return [line for line in records(workdir) if '"kind": "train"' in line]


def finished_steps(workdir):
    folders = (workdir / "checkpoints").iterdir()
    return sorted(int(path.name) for path in folders if path.name.isdecimal())


def test_a_command_that_is_killed_then_asked_to_stop_ends_like_an_undisturbed_one(
    config_of, corpus, undisturbed, start, tmp_path
):
    process = start(command(corpus, tmp_path))
    read_until_a_step(process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    saved = finished_steps(tmp_path)

    process = start(command(corpus, tmp_path))
    beginning = read_until_a_step(process)
    assert ("resuming from" in beginning) == bool(saved)
    process.terminate()
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors  # start it again
    assert "Traceback" not in errors
    assert f"asked to stop: saved step {finished_steps(tmp_path)[-1]}" in output
    assert not list((tmp_path / "checkpoints").glob("*partial*"))

    config = config_of("at the border")
    with config.unlocked():
        config.evaluations = ()
    pretrain.pretrain(config, tmp_path)
    wanted = undisturbed("at the border")
    assert train_records(tmp_path) == train_records(wanted)
    assert saved_state(tmp_path) == saved_state(wanted)
