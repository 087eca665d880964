"""Runs on object storage that are killed, cut off and taken over: the same bits."""

import contextlib
import functools
import os
import subprocess
import sys
import time

import jax
import numpy as np
import object_store as storage_server
import orbax.checkpoint as ocp
import pytest
import tiny_run

from amber_jax import storage
from amber_jax.training.checkpoint import find_checkpoint, newest_checkpoint
from amber_jax.training.metrics import read_metrics

POINTS = {
    "in the upload": {"name": "checkpoints/4/params/d/", "method": "write"},
    "between data and manifest": {"name": "checkpoints/4/run.json", "method": "write"},
    "before the manifest": {"name": "4/MANIFEST.json", "method": "write"},
    "before the mark": {"name": "checkpoints/4/commit_success", "method": "write"},
    "before it is whole": {"name": "checkpoints/4.partial", "method": "DELETE"},
    "in the log": {"name": "metrics.jsonl", "method": "write", "skipped": 2},
    "while an old one goes": {"name": "checkpoints/0.partial", "method": "write"},
}
STEPS = 6


@pytest.fixture(scope="module")
def server():
    with storage_server.serving() as proxy:
        yield proxy


@pytest.fixture
def store(server, tmp_path, monkeypatch):
    monkeypatch.setenv(storage.CACHE_VARIABLE, str(tmp_path / "cache"))
    with storage_server.bucket(server, time.monotonic_ns()) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_run.write_corpus(tmp_path_factory.mktemp("corpus"))


@contextlib.contextmanager
def started(corpus, workdir, environment, *options):
    """Starts the run of a folder; what is left of it at the end is killed."""
    command = [
        *(sys.executable, "launch/pretrain.py", "--config=tests/tiny_run.py"),
        *(f"--config.corpus={corpus}", f"--workdir={workdir}"),
        *("--config.save_every=2", "--config.keep_checkpoints=2", *options),
    ]
    environment = {**os.environ, **environment, "PYTHONPATH": str(tiny_run.ROOT)}
    with subprocess.Popen(
        command,
        cwd=tiny_run.ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_to_its_end(*arguments):
    with started(*arguments) as process:
        said = process.communicate()[0]
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def undisturbed_workdir(corpus, tmp_path_factory):
    """The workdir of the run, on local disk, that nobody stopped."""
    workdir = tmp_path_factory.mktemp("undisturbed")
    run_to_its_end(corpus, workdir, {})
    return workdir


@pytest.fixture(scope="module")
def undisturbed(undisturbed_workdir):
    return outcome(undisturbed_workdir)


def outcome(workdir):
    """Returns losses by step, and the bytes of every array of the last checkpoint."""
    lines = read_metrics(workdir / "metrics.jsonl")
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    checkpoint = find_checkpoint(workdir, pytest.fail)
    assert checkpoint.step == STEPS
    folder = storage.local_copy(checkpoint.path).resolve()
    arrays = {}
    for part in ("params", "training"):
        with ocp.StandardCheckpointer() as reader:
            tree = reader.restore(folder / part)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            arrays[part + jax.tree_util.keystr(path)] = np.asarray(leaf).tobytes()
    return losses, arrays


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_goes_on_to_the_same_bits(store, corpus, undisturbed, point):
    workdir = storage.location(store.path("run"))
    fault = store.fail(seconds=5.0, times=1, **POINTS[point])
    with started(corpus, workdir, store.environment) as process:
        wait_for(lambda: not fault.times, process)
        process.kill()
        process.wait()
    time.sleep(5.5)  # what was on its way arrives
    said = run_to_its_end(corpus, workdir, store.environment)
    assert "resuming from" in said or point == "while an old one goes"
    assert outcome(workdir) == undisturbed
    assert not [name for name in store.names() if name.endswith(".partial")]


def test_kills_at_random_moments_end_in_the_same_bits(store, corpus, undisturbed):
    """Of requests that write: whatever was on its way then arrives, or does not."""
    workdir = storage.location(store.path("run"))
    random = np.random.default_rng(0)
    for number in random.integers(3, 60, size=4):
        fault = store.fail(
            **{"method": "write", "skipped": int(number), "times": 1, "seconds": 1.0}
        )
        with started(corpus, workdir, store.environment) as process:
            while fault.times and process.poll() is None:
                time.sleep(0.02)
            process.kill()
            process.wait()
        fault.times = 0
        time.sleep(1.5)
    run_to_its_end(corpus, workdir, store.environment)
    assert outcome(workdir) == undisturbed


def test_a_run_through_bad_weather_is_the_same(store, corpus, undisturbed):
    """503s, slow writes, refused and short reads, all the time."""
    workdir = storage.location(store.path("run"))
    for skipped in range(5, 400, 45):
        store.fail(status=503, skipped=skipped, times=1)
        store.fail(seconds=0.5, method="write", skipped=skipped // 3, times=1)
    said = run_to_its_end(corpus, workdir, store.environment)
    assert outcome(workdir) == undisturbed, said


def test_two_hundred_bit_flips_are_noticed(store, undisturbed_workdir):
    store.put_folder(undisturbed_workdir / "checkpoints", "checkpoints")
    checkpoints = storage.location(store.path("checkpoints"))
    assert newest_checkpoint(checkpoints, pytest.fail).step == STEPS
    random = np.random.default_rng(0)
    contents = {name: store.get(name) for name in store.names(f"checkpoints/{STEPS}/")}
    names = sorted(name for name, content in contents.items() if content)
    for name in random.choice(names, 200):
        flipped = bytearray(contents[name])
        flipped[random.integers(len(flipped))] ^= 1 << random.integers(8)
        store.put(name, bytes(flipped))
        said = []
        assert newest_checkpoint(checkpoints, said.append).step < STEPS, name
        assert len(said) == 1
        store.put(name, contents[name])


def test_a_second_process_is_refused_by_name(store, corpus, tmp_path):
    workdir = storage.location(store.path("run"))
    refused = functools.partial(started, corpus, workdir)
    elsewhere = {**store.environment, storage.CACHE_VARIABLE: str(tmp_path / "other")}
    with started(corpus, workdir, store.environment, "--config.num_devices=1") as first:
        wait_for(lambda: (workdir / "process.json").is_file(), first)
        store.fail(seconds=40.0, method="write", name="checkpoints/2/", times=1)
        with refused(elsewhere) as second:
            said = second.communicate()[0]
    assert second.returncode == 2, said
    assert f"{workdir} is in use by process {first.pid} on " in said


def test_storage_that_refuses_ends_a_run_with_one_sentence(store, corpus):
    workdir = storage.location(store.path("run"))
    store.fail(status=403, method="write", name="checkpoints/4/params")
    with started(corpus, workdir, store.environment) as process:
        said = process.communicate()[0]
    assert process.returncode == 2
    assert f"error: {workdir / 'checkpoints' / '4'} cannot be written (" in said
    assert "Traceback" not in said
    assert find_checkpoint(workdir, print).step == 3
