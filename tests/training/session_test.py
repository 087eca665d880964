"""A run's folder: begun, gone on with, or refused before anything is written."""

import errno
import functools
import json
import os
import random
import subprocess
import sys
import time
import types

import jax
import jax.numpy as jnp
import pytest
import toy_objective
from refusing_system import refusing

from amber_jax.errors import UserError
from amber_jax.training import disk_space
from amber_jax.training.checkpoint import newest_checkpoint, restore_state
from amber_jax.training.metrics import read_metrics
from amber_jax.training.optimizer import build_optimizer
from amber_jax.training.parallel import abstract_like, build_backend, build_in_place
from amber_jax.training.session import session
from amber_jax.training.standstill import Pause
from amber_jax.training.state import new_state


def first_state():
    optimizer = build_optimizer(
        "sgd", beta1=0.9, beta2=0.9, epsilon=1e-6, weight_decay=0.0, clip_norm=0.0
    )
    return new_state(toy_objective.params(), optimizer)


@pytest.fixture
def begin():
    """A function: the session of a folder, with `changes` of its arguments."""
    backend = build_backend("jit", fsdp=False, num_devices=1)

    def begin(workdir, **changes):
        arguments = {
            "config": {"seed": 0},
            "num_steps": 9,
            "check": lambda checkpoint: None,
            "restore": functools.partial(
                restore_state,
                abstract=abstract_like(jax.eval_shape(first_state), backend),
            ),
            "new_state": lambda: build_in_place(first_state, backend),
            "write_extras": lambda path: None,
            "keep": 2,
            "tensorboard": False,
        }
        return session(workdir, **arguments | changes)

    return begin


def run_to(step, begun):
    """Saves the session's state as that of `step`."""
    begun.save(begun.state._replace(step=jnp.int32(step)), {"stage": "a"})


def test_a_new_folder_has_a_new_state_and_an_old_one_its_last(begin, tmp_path, capsys):
    with begin(tmp_path) as begun:
        assert int(begun.state.step) == 0
        run_to(3, begun)
    assert (tmp_path / "config.json").is_file()
    # The end of the block has waited for the checkpoint.
    with begin(tmp_path) as begun:
        assert int(begun.state.step) == 3
        params = toy_objective.params()
        assert (begun.state.params["kernel"] == params["kernel"]).all()
    assert capsys.readouterr().out.count("resuming from") == 1


def test_another_run_is_refused_before_anything_is_made(begin, tmp_path):
    with begin(tmp_path) as begun:
        run_to(3, begun)
    (tmp_path / "config.json").unlink()

    def refuse(checkpoint):
        raise UserError(f"step {checkpoint.step} is of another run")

    with (
        pytest.raises(UserError, match="step 3 is of another run"),
        begin(tmp_path, check=refuse, new_state=pytest.fail),
    ):
        pytest.fail("the session began")
    assert not (tmp_path / "config.json").exists()


def test_checkpoints_of_which_none_is_whole_are_no_new_run(begin, tmp_path):
    with begin(tmp_path) as begun:
        run_to(3, begun)
    (tmp_path / "checkpoints" / "3" / "run.json").write_text("{}")
    with (
        pytest.raises(UserError, match="none of its checkpoints can be used"),
        begin(tmp_path, new_state=pytest.fail),
    ):
        pytest.fail("the session began")


def test_what_ends_a_run_leaves_its_checkpoint_whole(begin, tmp_path):
    with pytest.raises(ZeroDivisionError), begin(tmp_path) as begun:
        run_to(5, begun)
        raise ZeroDivisionError
    with begin(tmp_path) as begun:
        assert int(begun.state.step) == 5


def test_a_second_session_is_refused_by_name_and_writes_nothing(begin, tmp_path):
    with begin(tmp_path) as begun:
        run_to(3, begun)
        begun.writer.wait()
        before = sorted(tmp_path.rglob("*"))
        holder = rf"in use by process {os.getpid()} on "
        with pytest.raises(UserError, match=holder), begin(tmp_path):
            pytest.fail("a second session began")
        assert sorted(tmp_path.rglob("*")) == before
    with begin(tmp_path) as begun:
        assert int(begun.state.step) == 3
    assert not (tmp_path / "process.json").exists()


def test_a_killed_process_leaves_its_folder_free(begin, tmp_path):
    script = (
        "import time; from pathlib import Path; "
        "from amber_jax.training.workdir import alone_in\n"
        f"with alone_in(Path({str(tmp_path)!r})): print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as it:
        it.stdout.readline()
        with pytest.raises(UserError, match=f"process {it.pid} on"), begin(tmp_path):
            pytest.fail("a second session began")
        it.kill()
    with begin(tmp_path):
        pass


def test_events_go_where_records_go_and_a_run_that_goes_on_remembers(
    begin, tmp_path, capsys
):
    def train(begun, step, loss):
        numbers = {"step": step, "loss": loss, "skipped_steps": int(step > 20)}
        begun.log.train("a", {**numbers, "learning_rate": 0.1})

    def events():
        log = read_metrics(tmp_path / "metrics.jsonl")
        return [(e["step"], e["event"]) for e in log if e["kind"] == "event"]

    with begin(tmp_path) as begun:
        for step in range(1, 71):
            train(begun, step, 1.0 + step % 2)
        run_to(64, begun)
        begun.log.pause("a", Pause(70, 75.0, 0.5, "data"))
    assert events() == [(21, "skipped"), (70, "standstill")]
    with begin(tmp_path) as begun:
        train(begun, 65, 90.0)
    assert events() == [(21, "skipped"), (65, "loss_spike")]
    said = capsys.readouterr().out
    assert "loss spike at step 65: the loss is 90, " in said
    assert (
        "standstill at step 70: no step is finished for 75 seconds, usual are 0.5; "
        "it waits for the data" in said
    )


def test_a_disk_without_room_is_refused_before_the_first_step(
    begin, tmp_path, monkeypatch
):
    usage = types.SimpleNamespace(free=3)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="make room"), begin(tmp_path):
        pytest.fail("the session began")


REFUSALS = {
    "a quota": (errno.EDQUOT, "Disk quota exceeded"),
    "a read-only disk": (errno.EROFS, "Read-only file system"),
    "no permission": (errno.EACCES, "Permission denied"),
    "a full disk": (errno.ENOSPC, "No space left on device"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_folder_that_cannot_be_written_is_one_sentence_before_the_first_step(
    begin, tmp_path, refusal
):
    number, words = REFUSALS[refusal]
    workdir = tmp_path / "run"
    with (
        refusing(rf"^(open|os\.\w+) {workdir}\S* ([wxa]|511)", number),
        pytest.raises(UserError, match=rf"run\S* cannot be made|written \({words}\)"),
        begin(workdir, new_state=first_state),
    ):
        pytest.fail("the session began")


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize(
    "call",
    [
        r"^os\.mkdir \S+/checkpoints/6\.partial\S* ",  # Orbax's own
        r"^open \S+/checkpoints/6\.partial/MANIFEST\.json\S* w",
        r"^os\.rename \S+/checkpoints/6\.partial \S+/checkpoints/6 ",
    ],
)
def test_a_save_that_is_refused_costs_nothing_that_was_saved(
    begin, tmp_path, refusal, call
):
    number, words = REFUSALS[refusal]
    sentence = rf"checkpoint 6 cannot .*\({words}; .* GB are"
    with pytest.raises(UserError, match=sentence), begin(tmp_path) as begun:
        run_to(3, begun)
        begun.writer.wait()
        with refusing(call, number):
            run_to(6, begun)
            begun.writer.wait()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["3"]
    with begin(tmp_path) as begun:
        assert int(begun.state.step) == 3
        run_to(6, begun)
    assert newest_checkpoint(tmp_path / "checkpoints").step == 6


@pytest.mark.parametrize("years", [-3, 3])
def test_a_clock_that_jumps_changes_nothing_of_what_is_found(
    begin, tmp_path, monkeypatch, years
):
    now = time.time
    with begin(tmp_path, tensorboard=True) as begun:
        begun.log.train("a", {"step": 3, "loss": 1.0})
        run_to(3, begun)
    monkeypatch.setattr(time, "time", lambda: now() + years * 365 * 86400)
    (curves,) = (tmp_path / "tensorboard").iterdir()
    with begin(tmp_path, tensorboard=True) as begun:
        assert int(begun.state.step) == 3
        begun.log.train("a", {"step": 4, "loss": 1.0})
        run_to(4, begun)
    # TensorBoard reads its files in the order of their names.
    assert min((tmp_path / "tensorboard").iterdir()) == curves
    # What is newer is what has more steps, whatever the files say of their time.
    for path in (tmp_path / "checkpoints" / "4").rglob("*"):
        os.utime(path, (0, 0))
    with begin(tmp_path) as begun:
        assert int(begun.state.step) == 4
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [3, 4]


def test_two_hundred_flipped_bits_are_noticed_each(begin, tmp_path):
    with begin(tmp_path) as begun:
        run_to(3, begun)
        run_to(6, begun)
    newest = tmp_path / "checkpoints" / "6"
    files = sorted(path for path in newest.rglob("*") if path.stat().st_size)
    files = [path for path in files if path.is_file()]
    drawn, touched = random.Random(0), set()
    for _ in range(200):
        path = drawn.choice(files)
        whole = path.read_bytes()
        at, bit = drawn.randrange(len(whole)), 1 << drawn.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        said = []
        checkpoint = newest_checkpoint(newest.parent, said.append)
        assert checkpoint.step == 3, (path, at, bit)
        assert f"checkpoint {newest} is not used: " in said[0]
        path.write_bytes(whole)
        touched.add(path)
    assert touched == set(files)
    assert newest_checkpoint(newest.parent).step == 6
