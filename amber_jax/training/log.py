"""A run's records, from the loop to metrics.jsonl, TensorBoard and the console."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from amber_jax.training.allocator import give_back_unused, peak_resident_bytes
from amber_jax.training.checkpoint import CheckpointWriter
from amber_jax.training.console import Console
from amber_jax.training.metrics import (
    METRICS_FILE,
    MetricsLog,
    TensorBoardWriter,
    read_metrics,
)
from amber_jax.training.parallel import on_one_device
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
    ) -> None:
        self._console = console
        self._writers: list[Any] = []
        self._lead = lead
        self.evaluated: dict[tuple[int, str], Mapping[str, Any]] = {
            (record["step"], record["evaluation"]): record for record in evaluated
        }
        if lead:
            self._writers.append(MetricsLog(workdir, resume_step=start))
            if tensorboard:
                self._writers.append(TensorBoardWriter(workdir, resume_step=start))
            self._writers.extend(trackers)

    def train(self, stage: str, record: Mapping[str, Any]) -> None:
        """Writes a train record."""
        record = {"kind": "train", "stage": stage, **record}
        self._write(record)
        if self._lead:
            self._console.train(record)

    def evaluate(
        self, evaluations: Sequence[Evaluation], state: TrainState, stage: str
    ) -> None:
        """Runs the evaluations and writes a record of each that has none yet."""
        step = int(state.step)
        due = [one for one in evaluations if (step, one.name) not in self.evaluated]
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
        """Starts a checkpoint and tells the console."""
        writer.save(state, run_json)
        self._console.checkpoint(int(state.step))

    def note(self, text: str) -> None:
        """Prints a sentence."""
        if self._lead:
            self._console.note(text)

    def close(self) -> None:
        """Closes the files."""
        for writer in self._writers:
            writer.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        for writer in self._writers:
            writer.write(record)


def evaluations_until(step: int, workdir: Path) -> list[Mapping[str, Any]]:
    """Returns the evaluations that a run's log has until `step`; [] without a log."""
    path = workdir / METRICS_FILE
    records = read_metrics(path) if path.exists() else []
    return [
        record
        for record in records
        if record.get("kind") == "eval" and record["step"] <= step
    ]
