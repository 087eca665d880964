"""What runs of every kind leave in their folder, and how they know it again."""

import contextlib
import fcntl
import importlib.metadata
import itertools
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import amber_jax
from amber_jax.errors import UserError
from amber_jax.files import make_folder, read_object, write_json
from amber_jax.storage import is_remote
from amber_jax.training.checkpoint import CHECKPOINTS, Checkpoint, written_steps
from amber_jax.training.lease import Check, leased
from amber_jax.training.optimizer import build_schedule

CONFIG = "config.json"
_HOLDER = "process.json"  # while a run is under way
RESULTS = "results.json"
DROPOUT = "by place"  # how it is drawn, as run.json says; before, it said nothing
PREDICTIONS = "predictions"  # folder of TASK/test-XX.tsv, as XTREME takes it
_LENGTH_AND_SCHEDULE = ("num_steps", "schedule", "decay_steps")
_VERSIONED = ("jax", "flax", "optax", "orbax-checkpoint", "numpy")


def begin_workdir(workdir: Path, config: Mapping[str, Any]) -> None:
    """Makes the folder and writes config.json into it.

    Raises:
        UserError: it cannot be written.
    """
    make_folder(workdir / CHECKPOINTS)
    write_json(workdir / CONFIG, config)


@contextlib.contextmanager
def alone_in(workdir: Path, note: Callable[[str], None] = print) -> Iterator[Check]:
    """Keeps other processes from running in a folder meanwhile.

    The folder is made if it is not there. The lock is the system's, of this host, and
    dies with its process; where the file system has none, nothing is kept from anybody.
    In object storage it is a lease, which can be lost: what is given checks that.

    Args:
        workdir: the folder.
        note: called with a sentence if the lease of another has to run out first.

    Raises:
        UserError: another process runs in it.
    """
    if is_remote(workdir):
        with leased(workdir / _HOLDER, note) as check:
            yield check
        return
    make_folder(workdir)
    lock = os.open(workdir, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{workdir} is in use by {_holder(workdir)}; wait for its end, or give "
                "another --workdir"
            ) from error
        except OSError:  # as of network file systems without locks
            pass
        holder = {"host": socket.gethostname(), "process": os.getpid()}
        try:
            write_json(workdir / _HOLDER, holder)
            yield always_alone
        finally:
            (workdir / _HOLDER).unlink(missing_ok=True)
    finally:
        os.close(lock)


def always_alone() -> None:
    """Checks a lock of the system, which nothing takes from its process."""


def _holder(workdir: Path) -> str:
    """The name of the process that runs in a folder, as far as it is known."""
    try:
        holder = read_object(workdir / _HOLDER, "")
        return f"process {holder['process']} on {holder['host']}"
    except (UserError, KeyError):  # it begins or ends at this moment
        return "another process"


def begun_config(workdir: Path) -> dict[str, Any] | None:
    """Returns the config of the run that a folder's checkpoints are of.

    None if there is none that could go on: without a checkpoint it begins anew.

    Raises:
        UserError: its file cannot be read.
    """
    path = workdir / CONFIG
    if not (written_steps(workdir / CHECKPOINTS) and path.is_file()):
        return None
    return read_object(path, "use another --workdir, or restore the file from a copy")


def versions() -> dict[str, str]:
    """Returns the versions of this package and of those that decide its numbers."""
    return {"amber_jax": amber_jax.__version__} | {
        name: importlib.metadata.version(name) for name in _VERSIONED
    }


def check_dropout(checkpoint: Checkpoint, rate: float) -> None:
    """Raises UserError if a run with dropout began when it was drawn in another way.

    Args:
        checkpoint: a checkpoint of the workdir.
        rate: the greatest probability of the run's dropouts.
    """
    if rate and checkpoint.run.get("dropout") != DROPOUT:
        raise UserError(
            f"{checkpoint.path} is of a run that began with a version that drew "
            "dropout in another way; finish it with that version, or use another "
            "--workdir"
        )


def check_same_run(
    checkpoint: Checkpoint,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    *,
    free_to_change: Iterable[str],
    fingerprints: Mapping[str, str],
) -> None:
    """Raises UserError if `checkpoint` is of a run of another config or other data.

    Args:
        checkpoint: a checkpoint of the workdir.
        before: the config of its run, as `with_defaults` gives it.
        now: the config now, as JSON.
        free_to_change: settings that change nothing of what is done already, each with
            all that is in it: `seed`, `stages[0].num_steps`.
        fingerprints: {key of run.json: its value now}, as `corpus_fingerprint`.
    """
    differences = [
        difference
        for difference in _differences(before, now)
        if not any(_is_within(difference[0], free) for free in free_to_change)
    ]
    changed = [
        f"{name} was {was!r} and is {value!r}" for name, was, value in differences
    ]
    changed += [
        f"the {key.removesuffix('_fingerprint')} is another one"
        for key, value in fingerprints.items()
        if checkpoint.run.get(key) != value
    ]
    if changed:
        of_stages = any(_is_within(name, "stages") for name, *_ in differences)
        raise UserError(
            f"{checkpoint.path} belongs to a run with another config: "
            f"{'; '.join(changed)}; use another --workdir, or the config that the run "
            "began with"
            + ("; to train longer, add a stage to stages" if of_stages else "")
        )


def with_defaults(config: Any, defaults: Any) -> Any:
    """Returns a config of a run.json; what it does not know yet has its default.

    The default of a new setting does what was done without it.

    Args:
        config: as JSON.
        defaults: of it. A list of groups has one entry, the defaults of each.
    """
    if isinstance(config, dict) and isinstance(defaults, dict):
        inner = {key: with_defaults(config[key], defaults.get(key)) for key in config}
        return {**defaults, **inner}
    if isinstance(config, list) and isinstance(defaults, list) and len(defaults) == 1:
        return [with_defaults(item, defaults[0]) for item in config]
    return config


def _is_within(name: str, group: str) -> bool:
    return name == group or name.startswith((f"{group}.", f"{group}["))


def free_settings(
    before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]], step: int
) -> set[str]:
    """Returns the settings of stages that may change after `step`: it stays true.

    These are further stages, and length and schedule of a stage that is not over, as
    long as all steps done have the learning rate that they had.

    Args:
        before: the stages that the run began with, as JSON.
        now: the stages that it is to go on with.
        step: of the whole run.
    """
    free = {f"stages[{index}]" for index in range(len(before), len(now))}
    for index, pair in enumerate(zip(before, now, strict=False)):
        if step <= min(stage["num_steps"] for stage in pair):
            then, now_rates = (_rates(stage, step) for stage in pair)
            if np.array_equal(then, now_rates):
                free |= {f"stages[{index}].{name}" for name in _LENGTH_AND_SCHEDULE}
        step = max(0, step - pair[0]["num_steps"])
    return free


def _rates(stage: Mapping[str, Any], steps: int) -> np.ndarray:
    """Returns the learning rates of a stage's first steps, [steps]."""
    schedule = build_schedule(
        stage["schedule"],
        stage["peak_learning_rate"],
        warmup_steps=stage["warmup_steps"],
        decay_steps=stage["decay_steps"],
        num_steps=stage["num_steps"],
    )
    counts: Any = np.arange(steps, dtype=np.int32)  # as NumPy: in double precision
    return np.asarray(schedule(counts))


def _differences(before: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """Returns (dotted name, before, now) of every leaf that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        differences = []
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else key
            differences += _differences(before.get(key), now.get(key), inner)
        return differences
    if isinstance(before, list) and isinstance(now, list):
        groups = any(isinstance(item, dict) for item in (*before, *now))
        if groups or len(before) == len(now):
            return [
                difference
                for index, items in enumerate(itertools.zip_longest(before, now))
                for difference in _differences(*items, f"{name}[{index}]")
            ]
    return [] if before == now else [(name, before, now)]
