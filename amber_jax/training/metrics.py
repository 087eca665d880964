"""A run's numbers on disk: metrics.jsonl, the source of truth, and TensorBoard's view.

Both are opened with the step a run resumes from and forget everything after it, so a
killed and resumed run leaves the same lines as one that was never killed.
"""

import errno
import json
import math
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from io import RawIOBase
from pathlib import Path

from amber_jax.errors import UserError
from amber_jax.files import failure, make_folder, new_file, parse_json, writing
from amber_jax.training import event_file

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
_EVENTS = "events.out.tfevents.*"
_RESUMES = "make room there and start the command again, it resumes"
_NOT_PLOTTED = frozenset({"kind", "step", "stage", "evaluation"})


class MetricsLog:
    """An append-only metrics.jsonl in `directory`, one JSON object a line.

    Opening it cuts the lines with "step" > `resume_step` and a torn last line. Every
    line is flushed to the operating system, so `kill -9` loses none.
    """

    def __init__(self, directory: Path, *, resume_step: int):
        self._path = Path(directory) / METRICS_FILE
        make_folder(self._path.parent)
        _cut_after(self._path, resume_step)
        with writing(self._path, _RESUMES):
            # Unbuffered: after a failed write, closing has nothing left to fail on.
            self._file = self._path.open("ab", buffering=0)

    def write(self, record: Mapping[str, float | int | str]) -> None:
        """Appends `record`, which holds an int "step"; NaN and Inf become null.

        Raises:
            UserError: if the line cannot be written, as on a full disk.
        TypeError: if there is no "step".
        """
        line = _to_line(record).encode()
        with writing(self._path, _RESUMES):
            _append(self._file, line)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_metrics(path: Path) -> list[dict]:
    """Returns the records of a metrics.jsonl in order; a torn last line is left out.

    Raises:
        UserError: if the file is missing, or a line before the last is not a record.
    """
    return [record for _, record in _records(Path(path))]


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


def _seconds_of(path: Path) -> float:
    """Returns when an event file was begun, as its name says; 0 if it does not."""
    seconds = re.match(r"events\.out\.tfevents\.(\d+\.\d+)\.", path.name)
    return float(seconds[1]) if seconds else 0.0


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

    def __init__(self, directory: Path, *, resume_step: int):
        folder = Path(directory) / TENSORBOARD_FOLDER
        make_folder(folder)
        # TensorBoard reads the files of a folder in the order of their names.
        now = max(
            time.time(),  # unless the clock was set back
            max((_seconds_of(path) for path in folder.glob(_EVENTS)), default=0) + 1e-6,
        )
        self._path = folder / f"events.out.tfevents.{now:.6f}.{socket.gethostname()}"
        with writing(self._path, _RESUMES):
            self._file = self._path.open("wb", buffering=0)
        self._append(event_file.version_event(now))
        self._append(event_file.restart_event(now, step=resume_step + 1))

    def write(self, record: Mapping[str, float | int | str]) -> None:
        """Adds each number as `train/loss`, or as `<evaluation>/average`."""
        group = record["evaluation"] if "evaluation" in record else record["kind"]
        scalars = {
            f"{group}/{key}": float(value)
            for key, value in record.items()
            if key not in _NOT_PLOTTED and not isinstance(value, str)
        }
        step = int(record["step"])
        self._append(event_file.scalar_event(time.time(), scalars, step=step))

    def close(self) -> None:
        """Closes the event file."""
        self._file.close()

    def _append(self, event: bytes) -> None:
        with writing(self._path, _RESUMES):
            _append(self._file, event)
