"""What runs leave behind, read and checked: their records, and a probe's arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from amber_jax.errors import UserError
from amber_jax.evaluation.typed_json import one_line
from amber_jax.storage import local_copy, location
from amber_jax.training.metrics import METRICS_FILE, read_metrics

_SEEDS = "seed-*"  # folders of a fine-tuning's seeds
_DEV_METRICS = {"f1": "F1", "accuracy": "accuracy"}  # of fine-tuning
_RECORD_KEYS = {
    "train": set(),
    "eval": {"evaluation", "average"},
    "event": {"event", "text"},
}
# The other values are numbers.
_WORDS = frozenset({"kind", "stage", "evaluation", "event", "text"})


@dataclass(frozen=True)
class Run:
    """The metrics records of one workdir, by kind and in order."""

    label: str
    train: list[dict]
    evaluations: list[dict]
    events: list[dict]

    @property
    def dev_metric(self) -> str:
        """How a fine-tuning's choice is scored, worded; empty for a pretraining."""
        for name, word in _DEV_METRICS.items():
            if any(name in record for record in self.evaluations):
                return word
        return ""

    @property
    def stage(self) -> str:
        """The last stage; of a fine-tuning, its task."""
        record = next(iter(reversed([*self.evaluations, *self.train])), {})
        return str(record["stage"]) if "stage" in record else ""


@dataclass(frozen=True)
class Probe:
    """What one model does with one sentence pair and a few sentence vectors."""

    src_pieces: np.ndarray  # [X] str
    tgt_pieces: np.ndarray  # [Y] str
    src_to_tgt: np.ndarray  # [X, Y] float32, probabilities
    tgt_to_src: np.ndarray  # [Y, X] float32, probabilities
    similarity: np.ndarray  # [X, Y] float32, cosines
    vectors_before: np.ndarray  # [M, D] float32, untrained
    vectors_after: np.ndarray  # [M, D] float32, trained
    meaning: np.ndarray  # [M] int, equal for translations
    language: np.ndarray  # [M] str


def read_runs(workdirs: Sequence[Path], labels: Sequence[str]) -> list[Run]:
    """Returns one Run per workdir, or per seed where fine-tuning had several.

    It is labeled by its folder's name unless `labels` say otherwise.

    Raises:
        UserError: if the labels do not match the workdirs, or a file is not readable.
    """
    if labels and len(labels) != len(workdirs):
        raise UserError(
            f"--label was given {len(labels)} times and --workdir {len(workdirs)} "
            "times; give one label per workdir, or none"
        )
    names = labels or [location(workdir).resolve().name for workdir in workdirs]
    runs = []
    for workdir, name in zip(map(location, workdirs), names, strict=True):
        seeds = sorted(path.parent for path in workdir.glob(f"{_SEEDS}/{METRICS_FILE}"))
        if seeds and not (workdir / METRICS_FILE).exists():
            runs += [_read_run(seed, f"{name}, {seed.name}") for seed in seeds]
        else:
            runs.append(_read_run(workdir, name))
    return runs


def _read_run(workdir: Path, label: str) -> Run:
    path = workdir / METRICS_FILE
    by_kind: dict[str, list[dict]] = {kind: [] for kind in _RECORD_KEYS}
    for record in read_metrics(path):
        kind = record.get("kind")
        if kind not in by_kind or not _RECORD_KEYS[kind] <= record.keys():
            raise UserError(
                f"{path}: the record of step {record['step']} is neither a train "
                "record, an eval record with an average nor an event; wanted the "
                "metrics.jsonl of amber pretrain or amber finetune"
            )
        _check_record(path, record)
        by_kind[kind].append(record)
    return Run(one_line(label), *by_kind.values())


def _check_record(path: Path, record: Mapping[str, object]) -> None:
    wrong = [
        name
        for name, value in record.items()
        if not isinstance(value, str if name in _WORDS else (int, float, type(None)))
    ]
    if wrong:
        raise UserError(
            f"{path}: the record of step {record['step']} has {record[wrong[0]]!r} as "
            f"{wrong[0]}; wanted {'text' if wrong[0] in _WORDS else 'a number'}"
        )


def read_probe(path: Path) -> Probe:
    """Returns the arrays of a probe.npz after checking that their sizes agree.

    Raises:
        UserError: if the file is missing or malformed, or an array is.
    """
    try:
        with np.load(local_copy(path), allow_pickle=False) as arrays:
            probe = Probe(**{name: arrays[name] for name in Probe.__annotations__})
    except FileNotFoundError as error:
        raise UserError(
            f"{path} not found; --probe takes a probe.npz that amber evaluate wrote"
        ) from error
    except UserError:  # of its storage
        raise
    # np.load answers a file that is no .npz with any of these.
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile) as error:
        reason = error.args[0] if error.args else "empty"
        raise UserError(
            f"{path} is not a probe.npz ({reason}); write it again with amber evaluate"
        ) from error
    _check_probe(probe, path)
    return probe


def _check_probe(probe: Probe, path: Path) -> None:
    x, y, m = probe.src_pieces.size, probe.tgt_pieces.size, probe.meaning.size
    size = probe.vectors_after.shape[-1:]
    wanted = {  # kind as in NumPy: U text, i whole numbers, f others
        "src_pieces": ("U", (x,)),
        "tgt_pieces": ("U", (y,)),
        "meaning": ("i", (m,)),
        "src_to_tgt": ("f", (x, y)),
        "tgt_to_src": ("f", (y, x)),
        "similarity": ("f", (x, y)),
        "vectors_before": ("f", (m, *size)),
        "vectors_after": ("f", (m, *size)),
        "language": ("U", (m,)),
    }
    for name, (kind, shape) in wanted.items():
        array = getattr(probe, name)
        if (array.dtype.kind, array.shape) != (kind, shape) or 0 in shape:
            raise UserError(
                f"{path}: {name} is {array.dtype} {list(array.shape)}, wanted kind "
                f"{kind} {list(shape)}; write it again with amber evaluate"
            )
        if kind == "f" and not np.isfinite(array).all():
            raise UserError(f"{path}: {name} holds NaN or Inf; the model is broken")
