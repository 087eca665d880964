"""The files a report is made of, read and checked: runs, results and a probe."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from amber_jax.errors import UserError
from amber_jax.training.metrics import METRICS_FILE, read_metrics

DIRECTIONS = ("xx_to_en", "en_to_xx")
_RECORD_KEYS = {"train": set(), "eval": {"evaluation", "average"}}


@dataclass(frozen=True)
class Run:
    """The metrics records of one workdir, by kind and in order."""

    label: str
    train: list[dict]
    evaluations: list[dict]


@dataclass(frozen=True)
class Result:
    """One results.json of a retrieval evaluation; scores are shares in [0, 1]."""

    name: str  # of the evaluation set
    label: str  # of the model, with " centred" where the vectors were
    checkpoint: str
    step: int
    layer: int
    pooling: str
    special_tokens: bool
    candidates: dict[str, int]
    scores: dict[str, dict[str, float]]  # language -> direction -> share
    average: dict[str, float]  # direction or "both" -> share


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
    """Returns one Run per workdir, labelled by its folder's name unless `labels` say.

    Raises:
        UserError: if the labels do not match the workdirs, or a file is not readable.
    """
    if labels and len(labels) != len(workdirs):
        raise UserError(
            f"--label was given {len(labels)} times and --workdir {len(workdirs)} "
            "times; give one label per workdir, or none"
        )
    names = labels or [Path(workdir).resolve().name for workdir in workdirs]
    return [
        _read_run(Path(workdir), label)
        for workdir, label in zip(workdirs, names, strict=True)
    ]


def _read_run(workdir: Path, label: str) -> Run:
    path = workdir / METRICS_FILE
    by_kind: dict[str, list[dict]] = {kind: [] for kind in _RECORD_KEYS}
    for record in read_metrics(path):
        kind = record.get("kind")
        if kind not in by_kind or not _RECORD_KEYS[kind] <= record.keys():
            raise UserError(
                f"{path}: the record of step {record['step']} is neither a train "
                "record nor an eval record with an average; wanted the metrics.jsonl "
                "of launch/pretrain.py"
            )
        by_kind[kind].append(record)
    return Run(label, by_kind["train"], by_kind["eval"])


def read_results(path: Path) -> list[Result]:
    """Returns the evaluations in a results.json that `launch/evaluate.py` wrote.

    Raises:
        UserError: if the file is missing, is not JSON, or lacks something.
    """
    try:
        content = json.loads(Path(path).read_bytes())
        return [_to_result(one) for one in content["results"]]
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); "
            "--results takes a results.json that launch/evaluate.py wrote"
        ) from error
    except KeyError as error:
        raise UserError(
            f"{path} has no {error}; write it again with launch/evaluate.py"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is not a retrieval results.json ({error}); "
            "write it again with launch/evaluate.py"
        ) from error


def _to_result(content: dict[str, Any]) -> Result:
    if content["task"] != "retrieval":
        raise ValueError(f"its task is {content['task']!r}")
    candidates = {name: int(content["candidates"][name]) for name in content["scores"]}
    if not candidates or min(candidates.values()) < 1:
        raise ValueError(f"wanted candidates for each language, found {candidates}")
    return Result(
        name=content["name"],
        label=content["model"] + (" centred" if content["centred"] else ""),
        checkpoint=str(content["checkpoint"]),
        step=int(content["step"]),
        layer=int(content["layer"]),
        pooling=content["pooling"],
        special_tokens=bool(content["special_tokens"]),
        candidates=candidates,
        scores={k: _shares(v, DIRECTIONS) for k, v in content["scores"].items()},
        average=_shares(content["average"], (*DIRECTIONS, "both")),
    )


def _shares(scores: dict[str, float], names: Sequence[str]) -> dict[str, float]:
    shares = {name: float(scores[name]) for name in names}
    if not all(0 <= share <= 1 for share in shares.values()):
        raise ValueError(f"wanted shares between 0 and 1, found {shares}")
    return shares


def read_probe(path: Path) -> Probe:
    """Returns the arrays of a probe.npz after checking that their sizes agree.

    Raises:
        UserError: if the file is missing or malformed, or an array is.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            probe = Probe(**{name: arrays[name] for name in Probe.__annotations__})
    except FileNotFoundError as error:
        raise UserError(
            f"{path} not found; --probe takes a probe.npz that launch/evaluate.py wrote"
        ) from error
    # np.load answers a file that is no .npz with any of these.
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile) as error:
        reason = error.args[0] if error.args else "empty"
        raise UserError(
            f"{path} is not a probe.npz ({reason}); "
            "write it again with launch/evaluate.py"
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
                f"{kind} {list(shape)}; write it again with launch/evaluate.py"
            )
        if kind == "f" and not np.isfinite(array).all():
            raise UserError(f"{path}: {name} holds NaN or Inf; the model is broken")
