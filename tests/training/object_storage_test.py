"""Runs whose folder is in object storage: whole checkpoints, one writer, whole logs."""

import functools
import json
import os
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax import files, storage
from amber_jax.errors import StorageError, UserError
from amber_jax.training import checkpoint as checkpoints
from amber_jax.training import lease
from amber_jax.training import object_storage as orbax_there
from amber_jax.training.checkpoint import CheckpointWriter, newest_checkpoint
from amber_jax.training.manifest import COMMIT, MANIFEST
from amber_jax.training.metrics import MetricsLog, TensorBoardWriter, read_metrics
from amber_jax.training.optimizer import build_optimizer
from amber_jax.training.parallel import abstract_like, build_backend, build_in_place
from amber_jax.training.session import session
from amber_jax.training.state import new_state
from amber_jax.training.workdir import alone_in, begun_config


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(storage.CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def run(object_store):
    return storage.location(object_store.path("run"))


def first_state(step=0):
    optimizer = build_optimizer(
        "adamw", beta1=0.9, beta2=0.9, epsilon=1e-6, weight_decay=0.0, clip_norm=0.0
    )
    kernel = jnp.asarray(np.random.default_rng(step).normal(size=(16, 8)), jnp.float32)
    return new_state({"kernel": kernel}, optimizer)._replace(step=jnp.int32(step))


def abstract():
    backend = build_backend("jit", fsdp=False, num_devices=1)
    return abstract_like(jax.eval_shape(first_state), backend)


def save(directory, *steps, **options):
    writer = CheckpointWriter(
        directory,
        **{"keep": 3, "write_extras": lambda path: (path / "words").write_text("a")},
        **options,
    )
    try:
        for step in steps:
            writer.save(first_state(step), {"stage": "first"})
    finally:
        writer.close()


def said_of(directory):
    """Returns the newest whole checkpoint's step and what was said of others."""
    said = []
    checkpoint = newest_checkpoint(directory, said.append)
    return checkpoint and checkpoint.step, said


def test_a_checkpoint_comes_back_bit_for_bit(run):
    save(run, 3)
    checkpoint = newest_checkpoint(run)
    restored = checkpoints.restore_state(checkpoint, abstract())
    for leaf, other in zip(
        jax.tree.leaves(restored), jax.tree.leaves(first_state(3)), strict=True
    ):
        assert np.asarray(leaf).tobytes() == np.asarray(other).tobytes()


def test_one_copied_there_by_hand_is_as_good(run, tmp_path, object_store):
    save(tmp_path / "here", 3)
    for file in (tmp_path / "here").rglob("*"):
        if file.is_file():
            name = file.relative_to(tmp_path / "here").as_posix()
            object_store.put(f"run/{name}", file.read_bytes())
    save(run, 6)
    (run / "6").rmtree()
    checkpoint = newest_checkpoint(run)
    assert checkpoint.step == 3
    assert int(checkpoints.restore_state(checkpoint, abstract()).step) == 3


def test_damage_to_any_object_is_noticed_and_the_one_before_is_used(run, object_store):
    save(run, 3, 6)
    names = object_store.names("run/6/")
    assert len(names) > 8
    random = np.random.default_rng(0)
    for name in names:
        content = object_store.get(name)
        if name == f"run/6/{COMMIT}" or not content:
            continue
        flipped = bytearray(content)
        flipped[random.integers(len(content))] ^= 1 << random.integers(8)
        for damaged in (bytes(flipped), content[:-1]):
            object_store.put(name, damaged)
            step, said = said_of(run)
            assert step == 3 and len(said) == 1, name
            assert str(run / "6") in said[0]
        object_store.put(name, content)
    (run / "6" / "run.json").unlink()
    assert said_of(run) == (
        3,
        [f"checkpoint {run / '6'} is not used: run.json is missing"],
    )


def test_orbaxs_rule_is_kept(run, object_store):
    """What ends before the manifest has no mark of Orbax's, and is cleared."""

    def killed(path):
        raise RuntimeError("as if killed")

    save(run, 3)
    assert f"run/3/{COMMIT}" in object_store.names()
    assert "run/3.partial" not in object_store.names()
    writer = CheckpointWriter(run, keep=3, write_extras=killed)
    writer.save(first_state(6), {})
    with pytest.raises(UserError, match="earlier checkpoints are intact"):
        writer.close()
    names = object_store.names()
    assert "run/6/params/_METADATA" in names and "run/6.partial" in names
    assert not {f"run/6/{COMMIT}", f"run/6/{MANIFEST}"} & set(names)
    step, said = said_of(run)
    assert step == 3
    assert said == [
        f"checkpoint {run / '6'} is not used: it was not written to its end"
    ]
    save(run)  # the next writer, of any step
    assert {name.split("/")[1] for name in object_store.names()} == {"3"}


def test_a_run_that_was_killed_in_its_first_checkpoint_begins_anew(run, object_store):
    save(run / "checkpoints", 3)
    (run / "config.json").write_bytes(b"{}")
    assert begun_config(run) == {}
    (run / "checkpoints" / "3.partial").write_bytes(b"")
    assert begun_config(run) is None
    checkpoints.refuse_damaged(run / "checkpoints")
    object_store.put("run/checkpoints/6/run.json", b"")  # and damaged since
    with pytest.raises(UserError, match="none of its checkpoints can be used"):
        checkpoints.refuse_damaged(run / "checkpoints")


def test_old_ones_go_and_a_kill_while_one_goes_leaves_no_half_of_it(run, object_store):
    save(run, 3, 6, 9, 12)
    assert sorted(path.name for path in run.iterdir()) == ["12", "6", "9"]
    object_store.fail(status=403, method="DELETE", name="run/6/")
    object_store.fail(status=403, method="POST", name="batch")
    with pytest.raises(UserError, match="earlier checkpoints are intact"):
        save(run, 15)
    assert "run/6.partial" in object_store.names()
    assert said_of(run) == (15, [])


def test_the_bytes_of_a_checkpoint_are_read_once(run, object_store):
    save(run, 3, 6)
    newest_checkpoint(run)
    before = len(object_store.requests)
    assert newest_checkpoint(run).step == 6
    assert len(object_store.requests) - before < 15


@pytest.mark.parametrize("name", ["params/", "run.json", MANIFEST, ".partial"])
def test_a_refused_write_is_one_sentence_and_leaves_the_ones_before(
    run, object_store, name, capfd
):
    save(run, 3)
    object_store.fail(status=403, method="write", name=name)
    with pytest.raises(UserError) as refusal:
        save(run, 6)
    assert str(refusal.value).startswith(f"{run / '6'} cannot be written (")
    assert "Forbidden" in str(refusal.value) and not refusal.value.passes
    assert len(str(refusal.value)) < 400
    assert "Traceback" not in capfd.readouterr().err
    assert said_of(run)[0] == 3


def test_storage_that_fails_for_a_while_costs_nothing(run, object_store, impatient):
    object_store.fail(status=503, method="write", name="params/", times=2)
    object_store.fail(status=503, method="write", name="run.json", times=1)
    object_store.fail(seconds=0.5, method="write", name="training/", times=2)
    save(run, 3)
    object_store.fail(status=503, method="GET", name="params/", times=1)
    object_store.fail(kept=20, method="GET", name="run/3/", times=5)
    checkpoint = newest_checkpoint(run, pytest.fail)
    object_store.fail(status=503, method="GET", name="params/", times=2)
    object_store.fail(kept=20, method="GET", name="training/", times=2)
    assert int(checkpoints.restore_state(checkpoint, abstract()).step) == 3


def test_a_run_that_waits_for_a_slow_write_says_so(run, object_store, monkeypatch):
    monkeypatch.setattr(checkpoints, "_PATIENCE_SECONDS", 0.2)
    object_store.fail(seconds=0.5, method="write", name="params/_META", times=1)
    said = []
    save(run, 3, note=said.append)
    assert said[0] == (
        f"the run waits for checkpoint 3, which is still being written to {run}"
    )


def test_storage_that_stays_away_is_given_up(run, object_store, monkeypatch):
    hasty = {"max_retries": 2, "initial_delay": "10ms", "max_delay": "20ms"}
    orbax_there.bound_retries()
    for name in hasty:
        monkeypatch.setitem(orbax_there.RETRIES, name, hasty[name])
    object_store.fail(status=503, method="write", name="params/d/")
    object_store.fail(status=503, method="write", name="params/ocdbt")
    with pytest.raises(StorageError, match="All 2 retry.*; earlier") as refusal:
        save(run, 3)
    assert refusal.value.passes


def test_storage_that_does_not_answer_tells_of_no_damage(run, object_store, impatient):
    save(run, 3, 6)
    for name in ("6/MANIFEST.json", "6/params/"):
        fault = object_store.fail(status=503, method="GET", name=name)
        files._object_digest.cache_clear()
        with pytest.raises(StorageError) as raised:
            newest_checkpoint(run, pytest.fail)
        assert raised.value.passes, name
        object_store.faults.remove(fault)
    assert said_of(run) == (6, [])


def test_the_log_is_uploaded_before_each_checkpoint_and_cut_where_a_run_resumes(
    run, object_store, monkeypatch
):
    log = MetricsLog(run, resume_step=0)
    log.write({"step": 1})
    log.publish()
    log.write({"step": 2})
    assert [record["step"] for record in read_metrics(run / "metrics.jsonl")] == [1]
    log.close()
    log = MetricsLog(run, resume_step=1)
    log.write({"step": 2, "again": 1})
    log.close()
    assert read_metrics(run / "metrics.jsonl") == [
        {"step": 1},
        {"step": 2, "again": 1},
    ]
    monkeypatch.setattr("amber_jax.training.metrics._PUBLISH_SECONDS", 0.0)
    log = MetricsLog(run, resume_step=1)
    log.write({"step": 2, "third": 1})
    assert read_metrics(run / "metrics.jsonl")[1] == {"step": 2, "third": 1}
    object_store.fail(status=403, method="write", times=1)
    log.write({"step": 3})  # tried again later
    log.close()
    board = TensorBoardWriter(run, resume_step=1)
    board.write({"kind": "train", "step": 2, "loss": 0.5})
    board.close()
    assert len(object_store.names("run/tensorboard/events.out")) == 1


@pytest.fixture
def brief(monkeypatch):
    """Leases of seconds in the place of minutes."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(lease, "GIVE_UP_SECONDS", 0.6)
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 0.15)


def elsewhere(monkeypatch, tmp_path):
    """Makes this process one of another machine, as far as leases know."""
    monkeypatch.setenv(storage.CACHE_VARIABLE, str(tmp_path / "elsewhere"))


def left_behind(run, name="x"):
    """Leaves the lease of a process of another machine that is no more."""
    content = {"host": "far", "process": 7, "lease": name}
    (run / "process.json").write_bytes(json.dumps(content).encode())


def test_a_second_writer_is_refused_by_name(run, brief, monkeypatch, tmp_path):
    said = []
    with alone_in(run) as check:
        holder = rf"is in use by process {os.getpid()} on "
        with pytest.raises(UserError, match=holder), alone_in(run, pytest.fail):
            pytest.fail("a second one began")
        elsewhere(monkeypatch, tmp_path)
        with pytest.raises(UserError, match=holder), alone_in(run, said.append):
            pytest.fail("a second one began")
        check()
    assert len(said) == 1 and "waiting for" in said[0]
    assert not (run / "process.json").exists()
    with alone_in(run, pytest.fail):
        pass


@pytest.mark.parametrize("skew", [-5000.0, 5000.0])
def test_a_lease_runs_out_by_the_clock_of_the_storage(run, brief, object_store, skew):
    object_store.skew = skew
    left_behind(run)
    said = []
    began = time.monotonic()
    with alone_in(run, said.append) as check:
        check()
    assert time.monotonic() - began > 0.9 * lease.LEASE_SECONDS
    assert "was in use by process 7 on far" in said[0]


def test_a_kill_on_this_machine_leaves_no_lease_to_wait_for(run, object_store):
    began = alone_in(run)
    began.__enter__()
    content = object_store.get("run/process.json")
    began.__exit__(None, None, None)
    object_store.put("run/process.json", content)
    name = json.loads(content)["lease"]
    storage.scratch(run / "process.json").write_text(name)
    with alone_in(run, pytest.fail) as check:
        check()


def test_who_cannot_see_whose_a_lease_is_does_not_begin(
    run, brief, object_store, impatient, monkeypatch
):
    def quicker(path, content, version):
        left_behind(run, "of another")
        object_store.fail(status=503, method="GET", name="process.json")
        raise FileExistsError

    monkeypatch.setattr(type(run), "replace_version", quicker)
    with pytest.raises(StorageError), alone_in(run, pytest.fail):
        pytest.fail("it began")


def test_of_two_who_take_over_one_does(run, brief, monkeypatch, tmp_path):
    left_behind(run)
    outcomes = []

    def begin():
        try:
            with alone_in(run, lambda _: None):
                outcomes.append("began")
                time.sleep(0.8)
        except UserError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[0] == "began"
    assert "is in use by process" in sorted(outcomes)[1]


def test_a_writer_that_lost_its_lease_writes_no_more(run, brief, object_store):
    with alone_in(run) as check:
        writer = CheckpointWriter(
            run / "checkpoints",
            **{"keep": 2, "write_extras": lambda path: None, "check": check},
        )
        log = MetricsLog(run, resume_step=0, check=check)
        left_behind(run)
        time.sleep(0.5)
        before = object_store.names()
        save = functools.partial(writer.save, first_state(3), {})
        for write in (log.publish, lambda: log.write({"step": 1}), save):
            with pytest.raises(
                UserError, match="process 7 on far has taken it"
            ) as refusal:
                write()
    assert "start the command again" in str(refusal.value)
    assert object_store.names() == before
    assert json.loads(object_store.get("run/process.json"))["host"] == "far"


def test_a_lease_that_cannot_be_renewed_is_given_up_in_time(run, brief, object_store):
    with alone_in(run) as check:
        object_store.fail(status=403, method="write", name="process.json")
        time.sleep(lease.GIVE_UP_SECONDS + 0.2)
        with pytest.raises(UserError, match="could not be renewed for [01] "):
            check()


def test_a_session_goes_on_where_it_was(run, object_store, capsys):
    backend = build_backend("jit", fsdp=False, num_devices=1)

    def begin():
        return session(
            run,
            config={"seed": 0},
            num_steps=9,
            check=lambda checkpoint: None,
            restore=functools.partial(checkpoints.restore_state, abstract=abstract()),
            new_state=lambda: build_in_place(first_state, backend),
            write_extras=lambda path: None,
            keep=2,
            tensorboard=True,
        )

    with begin() as begun:
        begun.log.train("a", {"step": 3, "loss": 1.0})
        begun.save(begun.state._replace(step=jnp.int32(3)), {"stage": "a"})
    with begin() as begun:
        assert int(begun.state.step) == 3
    assert capsys.readouterr().out.count(f"resuming from {run}") == 1
    assert [r["step"] for r in read_metrics(run / "metrics.jsonl")] == [3]
    assert "process.json" not in [path.name for path in run.iterdir()]
    assert "3 is not used" not in capsys.readouterr().out


def test_only_storage_that_compares_versions_keeps_runs():
    with pytest.raises(UserError, match="s3://b/run cannot keep a run"):
        with_lease = alone_in(storage.location("s3://b/run"))
        with_lease.__enter__()


def test_a_workdir_where_nothing_can_be_written_is_refused_at_once(run, object_store):
    object_store.fail(status=403, method="write")
    refusal = pytest.raises(StorageError, match=r"process.json cannot be written .Forb")
    with refusal, alone_in(run):
        pytest.fail("it began")
