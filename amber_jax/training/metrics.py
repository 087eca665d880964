"""A run's numbers on disk: metrics.jsonl, the source of truth, and TensorBoard's view.

Both are opened with the step a run resumes from and forget everything after it, so a
killed and resumed run leaves the same lines as one that was never killed.

In object storage, where nothing can be appended to, both are files of this machine that
are uploaded whole: before each checkpoint, every few minutes, and at the end.
"""

import contextlib
import errno
import json
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from io import RawIOBase
from pathlib import Path

from amber_jax.errors import StorageError, UserError
from amber_jax.files import (
    draft,
    failure,
    make_folder,
    new_file,
    parse_json,
    publish_draft,
    writing,
)
from amber_jax.storage import location
from amber_jax.training import event_file

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
_RESUMES = "make room there and start the command again, it resumes"
_PUBLISH_SECONDS = 300.0
_NOT_PLOTTED = frozenset({"kind", "step", "stage", "evaluation"})


class _AppendedFile:
    """A file that is only appended to, and that others see as it was uploaded last.

    Args:
        path: of the file; what it holds stays, up to a step of a metrics.jsonl.
        resume_step: that step, or None for a file without steps.
        check: called before each write; raises if the file may be another process's.
    """

    def __init__(
        self, path: Path, *, resume_step: int | None, check: Callable[[], None]
    ) -> None:
        self._path, self._check = path, check
        make_folder(path.parent)
        local = draft(path)
        if resume_step is not None:
            _cut_after(local, resume_step)
        with writing(local, _RESUMES):
            # Unbuffered: after a failed write, closing has nothing left to fail on.
            self._file = local.open("ab", buffering=0)
        self._published = time.monotonic()

    def append(self, content: bytes) -> None:
        """Writes all of `content`, and every few minutes lets others see it."""
        self._check()
        with writing(self._path, _RESUMES):
            _append(self._file, content)
        if time.monotonic() - self._published > _PUBLISH_SECONDS:
            with contextlib.suppress(StorageError):  # the next checkpoint insists
                self.publish()
            self._published = time.monotonic()

    def publish(self) -> None:
        """Lets others see what was written so far, where they do not anyway."""
        self._check()
        publish_draft(self._path)

    def close(self) -> None:
        """Closes the file and publishes it."""
        self._file.close()
        self.publish()


class MetricsLog:
    """An append-only metrics.jsonl in `directory`, one JSON object a line.

    Opening it cuts the lines with "step" > `resume_step` and a torn last line. Every
    line is flushed to the operating system, so `kill -9` loses none.

    Args:
        directory: of the file.
        resume_step: after which lines go.
        check: called before each write; raises if the file may be another process's.
    """

    def __init__(
        self,
        directory: Path,
        *,
        resume_step: int,
        check: Callable[[], None] = lambda: None,
    ):
        path = location(directory) / METRICS_FILE
        self._file = _AppendedFile(path, resume_step=resume_step, check=check)
        self.publish, self.close = self._file.publish, self._file.close

    def write(self, record: Mapping[str, float | int | str]) -> None:
        """Appends `record`, which holds an int "step"; NaN and Inf become null.

        Raises:
            UserError: if the line cannot be written, as on a full disk.
            TypeError: if there is no "step".
        """
        self._file.append(_to_line(record).encode())


def read_metrics(path: Path) -> list[dict]:
    """Returns the records of a metrics.jsonl in order; a torn last line is left out.

    Raises:
        UserError: if the file is missing, or a line before the last is not a record.
    """
    return [record for _, record in _records(location(path))]


def _records(path: Path) -> Iterator[tuple[bytes, dict]]:
    """Yields (line, record) pairs; the last line may be one that is still written."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({failure(error)}); "
            "wanted the metrics.jsonl of a run's workdir"
        ) from error
    torn_number = None
    with file:
        for number, line in enumerate(file, start=1):
            if torn_number is not None:
                raise UserError(
                    f"{path}, line {torn_number}: not a JSON object with a whole "
                    'number as "step"; the file is damaged, delete that line'
                )
            record = _parse(line)
            if record is None:
                torn_number = number
            else:
                yield line.rstrip(b"\n"), record


def _parse(line: bytes) -> dict | None:
    try:
        record = parse_json(line)
    except ValueError:
        return None
    is_record = isinstance(record, dict) and isinstance(record.get("step"), int)
    return record if is_record else None


def _cut_after(path: Path, step: int) -> None:
    """Rewrites `path` without what lies after `step`; a kill leaves the old or new."""
    if not path.exists():
        return
    with new_file(path, _RESUMES) as file:
        for line, record in _records(path):
            if record["step"] <= step:
                file.write(line + b"\n")


def _to_line(record: Mapping[str, float | int | str]) -> str:
    plain = {key: _to_json_value(value) for key, value in record.items()}
    if not isinstance(plain.get("step"), int):
        raise TypeError(f'a metrics record needs an int "step": {plain}')
    return json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n"


def _to_json_value(value: float | int | str) -> float | int | str | None:
    """Returns a plain value; also takes NumPy's and JAX's scalars."""
    if isinstance(value, str | int):
        return value
    if hasattr(value, "item"):
        return _to_json_value(value.item())
    return value if math.isfinite(value) else None


def _append(file: RawIOBase, content: bytes) -> None:
    """Writes all of `content` to an unbuffered file."""
    if file.write(content) != len(content):  # the last bytes of a disk were free
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class TensorBoardWriter:
    """The scalars of the records, in the `tensorboard` folder of `directory`.

    Each opening starts a new event file whose first event tells TensorBoard to forget
    the steps after `resume_step`. Only one process of a run opens one. Reading the
    files takes the `tensorboard` package, writing them takes nothing.
    """

    def __init__(
        self,
        directory: Path,
        *,
        resume_step: int,
        check: Callable[[], None] = lambda: None,
    ):
        folder = location(directory) / TENSORBOARD_FOLDER
        now = time.time()
        # TensorBoard reads the files of a folder in the order of their names.
        path = folder / f"events.out.tfevents.{now:.6f}.{socket.gethostname()}"
        self._file = _AppendedFile(path, resume_step=None, check=check)
        self.publish, self.close = self._file.publish, self._file.close
        self._file.append(event_file.version_event(now))
        self._file.append(event_file.restart_event(now, step=resume_step + 1))

    def write(self, record: Mapping[str, float | int | str]) -> None:
        """Adds each number as `train/loss`, or as `<evaluation>/average`."""
        group = record["evaluation"] if "evaluation" in record else record["kind"]
        scalars = {
            f"{group}/{key}": float(value)
            for key, value in record.items()
            if key not in _NOT_PLOTTED and not isinstance(value, str)
        }
        step = int(record["step"])
        event = event_file.scalar_event(time.time(), scalars, step=step)
        self._file.append(event)
