"""What every run does around its steps: find, check, restore, log, save, close."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from amber_jax.training.checkpoint import (
    CHECKPOINTS,
    Checkpoint,
    CheckpointWriter,
    newest_checkpoint,
    refuse_damaged,
)
from amber_jax.training.console import Console
from amber_jax.training.disk_space import check_space
from amber_jax.training.log import Evaluated, RunLog
from amber_jax.training.state import TrainState
from amber_jax.training.trackers import record_writer
from amber_jax.training.workdir import alone_in, always_alone, begin_workdir


class Session(NamedTuple):
    """A run that has begun or goes on."""

    state: TrainState  # after the steps that are done
    log: RunLog
    writer: CheckpointWriter
    checkpoints: Path

    def save(self, state: TrainState, run_json: Mapping[str, Any]) -> None:
        """Starts a checkpoint."""
        self.log.save(self.writer, state, run_json)

    def go_on_from(self) -> str:
        """Returns where the last good parameters are, in words."""
        self.writer.wait()
        last = newest_checkpoint(self.checkpoints, self.log.note)
        if last is None:
            return "there is no checkpoint"
        return f"the last good checkpoint is {last.path}"


@contextlib.contextmanager
def session(
    workdir: Path,
    *,
    config: Mapping[str, Any],
    num_steps: int,
    check: Callable[[Checkpoint], None],
    restore: Callable[[Checkpoint], TrainState],
    new_state: Callable[[], TrainState],
    write_extras: Callable[[Path], None],
    keep: int,
    keep_every: int = 0,
    keep_too: Callable[[Evaluated], int | None] = lambda _: None,
    tensorboard: bool,
    trackers: Sequence[str] = (),
) -> Iterator[Session]:
    """Gives the run of a folder: new, or as its newest whole checkpoint left it.

    Nothing is written before the run is known to be the folder's. At the end of the
    block the last checkpoint is complete.

    Args:
        workdir: the folder.
        config: of the run, for config.json.
        num_steps: of the whole run.
        check: called with the folder's newest checkpoint; raises UserError if that is
            of another run.
        restore: returns the state that a checkpoint of the folder holds.
        new_state: makes the first state, if there is no checkpoint.
        write_extras: as of `CheckpointWriter`.
        keep: how many of the newest checkpoints stay.
        keep_every: as of `CheckpointWriter`.
        keep_too: evaluations so far -> a step whose checkpoint stays besides, or None.
        tensorboard: whether to write event files.
        trackers: names of `TRACKERS` to tell as well.

    Raises:
        UserError: the folder holds another run, checkpoints of which none is whole, or
            it cannot be written, has no room, or another process runs in it.
    """
    lead = jax.process_index() == 0
    with contextlib.ExitStack() as stack:
        held = lead and workdir.is_dir()
        check_alone = stack.enter_context(alone_in(workdir)) if held else always_alone
        stream = None if lead else stack.enter_context(Path(os.devnull).open("w"))
        console = stack.enter_context(Console(num_steps, stream=stream))
        found = newest_checkpoint(workdir / CHECKPOINTS, console.note)
        if found is None:
            refuse_damaged(workdir / CHECKPOINTS)
            state = new_state()
        else:
            check(found)
            console.note(f"resuming from {found.path}")
            state = restore(found)
        if lead and not held:
            check_alone = stack.enter_context(alone_in(workdir))
        told = []
        if lead:
            begin_workdir(workdir, config)
            count = keep + (num_steps // keep_every if keep_every else 0)
            check_space(workdir / CHECKPOINTS, state, count=count, note=console.note)
            told = [record_writer(n, workdir, config, console.note) for n in trackers]
        log = RunLog(
            *(workdir, console, int(state.step)),
            lead=lead,
            tensorboard=tensorboard,
            trackers=told,
            check=check_alone,
        )
        stack.callback(log.close)
        writer = CheckpointWriter(
            workdir / CHECKPOINTS,
            keep=keep,
            keep_every=keep_every,
            write_extras=write_extras,
            keep_too=lambda: keep_too(log.evaluated),
            check=check_alone,
            note=console.note,
        )
        stack.callback(writer.close)
        yield Session(state, log, writer, workdir / CHECKPOINTS)
