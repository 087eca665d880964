"""A run's records in Weights & Biases, MLflow or Trackio, besides metrics.jsonl.

Whether they go over the network is each library's own setting, in its environment:
WANDB_MODE=offline, MLFLOW_TRACKING_URI=file:..., and Trackio is local unless told.
A resumed run goes on in the run that it began; keys stay in the environment.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from amber_jax.errors import UserError, from_extra
from amber_jax.files import make_folder, read_object, write_json
from amber_jax.storage import scratch

_PROJECT = "amber_jax"
_IDS = "trackers.json"  # of a workdir: the run's name at each tracker
_WORDS = frozenset({"kind", "step", "stage", "evaluation"})


class Tracker(Protocol):
    """Where numbers go: all that a run asks of a library."""

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Hands on the numbers of a step."""

    def close(self) -> None:
        """Ends the session; the run may go on later."""


class RecordWriter:
    """A writer of records, as `MetricsLog` is one, to a tracker.

    A tracker that fails is given up, and the run goes on without it.
    """

    def __init__(self, name: str, tracker: Tracker, note: Callable[[str], None]):
        self._name, self._note = name, note
        self._tracker: Tracker | None = tracker

    def write(self, record: Mapping[str, Any]) -> None:
        """Hands on the numbers of a record, by names as TensorBoard has them."""
        group = record.get("evaluation", record["kind"])
        numbers = {
            f"{group}/{key}": float(value)
            for key, value in record.items()
            if key not in _WORDS and isinstance(value, int | float)
        }
        with self._given_up_if_failing():
            if self._tracker is not None:
                self._tracker.log(numbers, record["step"])

    def close(self) -> None:
        """Ends the tracker's session."""
        with self._given_up_if_failing():
            if self._tracker is not None:
                self._tracker.close()

    @contextlib.contextmanager
    def _given_up_if_failing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of any library, as without a network
            self._tracker = None
            self._note(f"{self._name} is told no more: {error}")


class _WandB:
    def __init__(self, workdir: Path, run: str, config: Mapping[str, Any]) -> None:
        with from_extra("wandb", "trackers has 'wandb', which needs wandb"):
            import wandb
        folder = scratch(workdir)  # it keeps files of its own
        make_folder(folder)
        self._run = wandb.init(
            project=_PROJECT,
            id=run,
            name=workdir.name,
            dir=str(folder),
            config=dict(config),
            resume="allow",
        )

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        self._run.finish()


class _MLflow:
    def __init__(self, workdir: Path, run: str, config: Mapping[str, Any]) -> None:
        with from_extra("mlflow", "trackers has 'mlflow', which needs mlflow"):
            import mlflow
        self._mlflow = mlflow
        mlflow.set_experiment(_PROJECT)
        # Its names are its own: the run is the one that carries ours.
        runs = mlflow.search_runs(
            filter_string=f"tags.amber_run = '{run}'", output_format="list"
        )
        if runs:
            mlflow.start_run(run_id=runs[0].info.run_id)
            return
        mlflow.start_run(run_name=workdir.name, tags={"amber_run": run})
        mlflow.log_dict(dict(config), "config.json")

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(numbers), step=step)

    def close(self) -> None:
        self._mlflow.end_run()


class _Trackio:
    def __init__(self, workdir: Path, run: str, config: Mapping[str, Any]) -> None:
        with from_extra("trackio", "trackers has 'trackio', which needs trackio"):
            import trackio
        self._trackio = trackio
        name = f"{workdir.name}-{run[:8]}"
        trackio.init(project=_PROJECT, name=name, config=dict(config), resume="allow")

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._trackio.log(dict(numbers), step=step)

    def close(self) -> None:
        self._trackio.finish()


TRACKERS: Mapping[str, Callable[[Path, str, Mapping[str, Any]], Tracker]] = {
    "wandb": _WandB,
    "mlflow": _MLflow,
    "trackio": _Trackio,
}


def record_writer(
    name: str, workdir: Path, config: Mapping[str, Any], note: Callable[[str], None]
) -> RecordWriter:
    """The writer to a tracker, of a run that begins or goes on.

    Args:
        name: one of `TRACKERS`.
        workdir: of the run, where its name at the tracker is kept.
        config: of the run, which the tracker shows.
        note: called with a sentence if the tracker fails later.

    Raises:
        UserError: the library is not there, or refuses to begin.
    """
    ids = read_object(workdir / _IDS, "remove it") if (workdir / _IDS).exists() else {}
    if name not in ids:
        ids[name] = uuid.uuid4().hex
        write_json(workdir / _IDS, ids)
    try:
        tracker = TRACKERS[name](workdir, ids[name], config)
    except UserError:
        raise
    except Exception as error:  # of any library, as without a key
        first = str(error).strip().split("\n")[0]
        raise UserError(
            f"trackers has {name!r}, which does not begin: {first}; log in to it, set "
            "its offline mode, or leave it out"
        ) from error
    return RecordWriter(name, tracker, note)
