"""A run's records, from the loop to metrics.jsonl, TensorBoard and the console."""

import contextlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from amber_jax.training.allocator import give_back_unused, peak_resident_bytes
from amber_jax.training.checkpoint import CheckpointWriter
from amber_jax.training.console import Console
from amber_jax.training.events import STANDSTILL, EventRules, Record, event
from amber_jax.training.metrics import (
    METRICS_FILE,
    MetricsLog,
    TensorBoardWriter,
    read_metrics,
)
from amber_jax.training.parallel import on_one_device
from amber_jax.training.standstill import Pause
from amber_jax.training.state import TrainState
from amber_jax.training.trackers import RecordWriter
from amber_jax.types import Params

Evaluated = Mapping[tuple[int, str], Mapping[str, Any]]
"""{(step, name): record} of evaluations that are done."""


class Evaluation(NamedTuple):
    """Something that a run measures of its parameters from time to time."""

    name: str
    score: Callable[[Params], Mapping[str, float]]  # one record's shares in [0, 1]


class RunLog:
    """Records to metrics.jsonl, TensorBoard and the console, in one process only."""

    def __init__(
        self,
        workdir: Path,
        console: Console,
        start: int,
        evaluated: Sequence[Mapping[str, Any]],
        *,
        lead: bool,
        tensorboard: bool,
        trackers: Sequence[RecordWriter] = (),
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._console = console
        self._writers: list[Any] = []
        self._files: list[MetricsLog | TensorBoardWriter] = []
        self._lead = lead
        self._writing = threading.Lock()  # a run that stands still says so elsewhere
        self._rules = EventRules()
        self.evaluated: dict[tuple[int, str], Mapping[str, Any]] = {
            (record["step"], record["evaluation"]): record for record in evaluated
        }
        if lead:
            self._rules = EventRules(_records_until(start, workdir / METRICS_FILE))
            kinds = (MetricsLog, TensorBoardWriter) if tensorboard else (MetricsLog,)
            self._files = [k(workdir, resume_step=start, check=check) for k in kinds]
            self._writers = [*self._files, *trackers]

    def train(self, stage: str, record: Mapping[str, Any]) -> None:
        """Writes a train record and the events that it brings about."""
        record = {"kind": "train", "stage": stage, **record}
        self._write(record)
        if self._lead:
            self._console.train(record)
        for event_record in self._rules.of(record):
            self._event(event_record)

    def pause(self, stage: str, pause: Pause) -> None:
        """Writes that no step is finished; in other processes, says so on stderr."""
        if self._lead:
            self._event(event(STANDSTILL, pause.step, stage, pause.seconds, str(pause)))
        else:
            print(f"process {jax.process_index()}: {pause}", file=sys.stderr)

    def evaluate(
        self, evaluations: Sequence[Evaluation], state: TrainState, stage: str
    ) -> None:
        """Runs the evaluations and writes a record of each that has none yet."""
        step = int(state.step)
        due = [
            evaluation
            for evaluation in evaluations
            if (step, evaluation.name) not in self.evaluated
        ]
        if not due:
            return
        params = on_one_device(state.params)
        for evaluation in due:
            record: dict[str, Any] = {
                "kind": "eval",
                "stage": stage,
                "step": step,
                "evaluation": evaluation.name,
                **evaluation.score(params),
                "peak_resident_bytes": peak_resident_bytes(),
            }
            self.evaluated[step, evaluation.name] = record
            self._write(record)
            if self._lead:
                self._console.evaluation(record)
        give_back_unused()

    def save(
        self, writer: CheckpointWriter, state: TrainState, run_json: Mapping[str, Any]
    ) -> None:
        """Starts a checkpoint, with all records before it, and tells the console."""
        for file in self._files:
            file.publish()
        writer.save(state, run_json)
        self._console.checkpoint(int(state.step))

    def note(self, text: str) -> None:
        """Prints a sentence."""
        if self._lead:
            self._console.note(text)

    def close(self) -> None:
        """Closes the files, all of them if one fails as well."""
        with contextlib.ExitStack() as stack:
            for writer in self._writers:
                stack.callback(writer.close)

    def _event(self, record: Record) -> None:
        self._write(record)
        if self._lead:
            self._console.event(record)

    def _write(self, record: Mapping[str, Any]) -> None:
        with self._writing:
            for writer in self._writers:
                writer.write(record)


def _records_until(step: int, path: Path) -> list[dict[str, Any]]:
    """Returns the file's records of the steps done; none without one."""
    records = read_metrics(path) if path.exists() else []
    return [record for record in records if record["step"] <= step]


def evaluations_until(step: int, workdir: Path) -> list[Mapping[str, Any]]:
    """Returns the evaluations that a run's log has until `step`; [] without a log."""
    records = _records_until(step, workdir / METRICS_FILE)
    return [record for record in records if record.get("kind") == "eval"]
