"""What every run does around its steps: find, check, restore, log, save, close."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from amber_jax.training.agreement import decided_by_first, is_first
from amber_jax.training.checkpoint import (
    CHECKPOINTS,
    Checkpoint,
    CheckpointWriter,
    newest_checkpoint,
    refuse_damaged,
)
from amber_jax.training.console import Console
from amber_jax.training.disk_space import check_space
from amber_jax.training.log import Evaluated, RunLog, evaluations_until
from amber_jax.training.state import TrainState
from amber_jax.training.trackers import record_writer
from amber_jax.training.workdir import Check, alone_in, always_alone, begin_workdir


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

        def look() -> str:
            last = newest_checkpoint(self.checkpoints, self.log.note)
            if last is None:
                return "there is no checkpoint"
            return f"the last good checkpoint is {last.path}"

        return decided_by_first(look)


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

    Nothing is written before the run is known to be the folder's, at which the first
    process alone looks. At the end of the block the last checkpoint is complete.

    Args:
        workdir: the folder.
        config: of the run, for config.json.
        num_steps: of the whole run.
        check: raises UserError if the folder's newest checkpoint is of another run.
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
    with contextlib.ExitStack() as stack:
        console = stack.enter_context(_console(num_steps))
        note = console.note
        hold = _Hold(stack, workdir, note)
        newest = _newest(workdir, note, hold)
        if newest is None:
            state = new_state()
        else:
            check(newest)
            note(f"resuming from {newest.path}")
            state = restore(newest)
        writers: list[Any] = []

        def begin() -> list[Any]:
            hold.take()
            begin_workdir(workdir, config)
            count = keep + (num_steps // keep_every if keep_every else 0)
            check_space(workdir / CHECKPOINTS, state, count=count, note=note)
            writers[:] = [record_writer(n, workdir, config, note) for n in trackers]
            return evaluations_until(int(state.step), workdir)

        before = decided_by_first(begin)
        log = RunLog(
            *(workdir, console, int(state.step), before),
            lead=is_first(),
            tensorboard=tensorboard,
            trackers=writers,
            check=hold.check,
        )
        stack.callback(log.close)
        writer = CheckpointWriter(
            workdir / CHECKPOINTS,
            keep=keep,
            keep_every=keep_every,
            write_extras=write_extras,
            keep_too=lambda: keep_too(log.evaluated),
            check=hold.check,
            note=note,
        )
        stack.callback(writer.close)
        yield Session(state, log, writer, workdir / CHECKPOINTS)
        writer.wait()


@contextlib.contextmanager
def _console(num_steps: int) -> Iterator[Console]:
    """Gives the console of the run; those of other processes write nowhere."""
    with contextlib.ExitStack() as stack:
        lead = is_first()
        stream = None if lead else stack.enter_context(Path(os.devnull).open("w"))
        yield stack.enter_context(Console(num_steps, stream=stream))


class _Hold:
    """The lock of a folder, from when the first process takes it to the stack's end."""

    def __init__(
        self, stack: contextlib.ExitStack, workdir: Path, note: Callable[[str], None]
    ) -> None:
        self.check: Check = always_alone
        self._take: Callable[[], Check] | None = lambda: stack.enter_context(
            alone_in(workdir, note)
        )

    def take(self) -> None:
        """Takes the lock, unless it has been taken; raises as `alone_in`."""
        if self._take:
            self.check, self._take = self._take(), None


def _newest(
    workdir: Path, note: Callable[[str], None], hold: _Hold
) -> Checkpoint | None:
    """Returns the checkpoint to go on from, as the first process sees it.

    Args:
        workdir: the folder.
        note: called with what is wrong with newer ones.
        hold: taken before, if the folder is there, so that no other run changes them.
    """

    def look() -> dict[str, Any] | None:
        if workdir.is_dir():
            hold.take()
        newest = newest_checkpoint(workdir / CHECKPOINTS, note)
        if newest is None:
            refuse_damaged(workdir / CHECKPOINTS)
            return None
        return {"step": newest.step, "run": dict(newest.run)}

    record = decided_by_first(look)
    if record is None:
        return None
    path = workdir / CHECKPOINTS / str(record["step"])
    return Checkpoint(path, record["step"], record["run"])
