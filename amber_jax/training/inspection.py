"""What a run's workdir or a checkpoint holds, in words, without loading a parameter."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from amber_jax.errors import UserError
from amber_jax.files import read_object, unfinished
from amber_jax.training.checkpoint import CHECKPOINTS
from amber_jax.training.manifest import MANIFEST, RUN, damage
from amber_jax.training.metrics import METRICS_FILE, read_metrics
from amber_jax.training.workdir import CONFIG

_SHOWN = (
    *("loss", "learning_rate", "tokens_per_second", "mfu", "forecast_share"),
    *("skipped_steps", "open_descriptors"),
)
_LAST_EVENTS = 20
_SIZES = ("num_layers", "hidden_size", "num_heads", "vocab_size", "max_positions")


def inspect_run(path: Path) -> str | None:
    """What `path` holds, in lines; None if it is no workdir and no checkpoint.

    Every file of every checkpoint is read and compared with its manifest.

    Raises:
        UserError: its config.json, run.json or metrics.jsonl cannot be read.
    """
    if (path / MANIFEST).is_file() and (path / RUN).is_file():
        return "\n".join(_checkpoint_in_full(path))
    if (path / CHECKPOINTS).is_dir() or (path / METRICS_FILE).is_file():
        return "\n".join(_workdir(path))
    return None


def _workdir(path: Path) -> Iterator[str]:
    yield f"run {path}"
    config = path / CONFIG
    if config.is_file():
        yield from _described_config(read_object(config, "restore it from a copy"))
    else:
        yield f"  no {CONFIG}: the run has not begun"
    folders = sorted(
        (f for f in (path / CHECKPOINTS).glob("*") if f.name.isdecimal()),
        key=lambda folder: int(folder.name),
    )
    whole = []
    for folder in folders:
        reason = damage(folder)
        whole += [folder] * (reason is None)
        state = "whole" if reason is None else f"cannot be used: {reason}"
        yield f"  checkpoint {int(folder.name):,}: {_gb(folder)}, {state}"
    if not folders:
        yield "  no checkpoint"
    for leftover in unfinished(path / CHECKPOINTS):
        yield f"  left unfinished, removed when the run goes on: {leftover.name}"
    if (path / METRICS_FILE).is_file():
        yield from _log(read_metrics(path / METRICS_FILE))
    if whole:
        yield from _checkpoint(whole[-1])


def _described_config(stored: Mapping[str, Any]) -> Iterator[str]:
    """The length of a run, of its stages if it is a pretraining."""
    stages = stored.get("stages")
    if isinstance(stages, list):
        named = [f"{stage['name']} {stage['num_steps']:,}" for stage in stages]
        total = sum(stage["num_steps"] for stage in stages)
        yield f"  {total:,} steps: {', '.join(named)}"
    elif "task" in stored:
        yield f"  fine-tuning: {stored['task']}"


def _log(records: list[dict]) -> Iterator[str]:
    last: dict[str, dict] = {}
    for record in records:
        kind = record.get("kind")
        if kind == "train":
            last["train"] = record
        elif kind not in (None, "event"):
            last[f"{kind} {record.get('evaluation', '')}".strip()] = record
    yield f"  log: {len(records):,} records"
    for name, record in last.items():
        shown = [
            f"{key} {value:.4g}"
            for key, value in record.items()
            if isinstance(value, int | float)
            and key != "step"
            and (name != "train" or key in _SHOWN)
        ]
        yield f"  last {name}: step {record['step']:,}: {', '.join(shown)}"
    yield from _events([r for r in records if r.get("kind") == "event"])


def _events(records: list[dict]) -> Iterator[str]:
    """How many there were of each kind, and the last ones."""
    if not records:
        return
    counts = Counter(str(record.get("event")) for record in records)
    yield f"  events: {', '.join(f'{n:,} {name}' for name, n in counts.items())}"
    for record in records[-_LAST_EVENTS:]:
        yield f"    step {record['step']:,}: {record.get('text')}"


def _checkpoint_in_full(path: Path) -> Iterator[str]:
    reason = damage(path)
    yield f"checkpoint {path}: {_gb(path)}, {reason or 'whole'}"
    yield from _checkpoint(path)


def _checkpoint(path: Path) -> Iterator[str]:
    """What is in a checkpoint's run.json."""
    run = read_object(path / RUN, "use another step")
    try:
        yield f"  model of step {run['step']:,}" + (
            f", stage {run['stage']}" if "stage" in run else ""
        )
        sizes = [f"{name} {run['encoder'][name]:,}" for name in _SIZES]
        shapes = run["parameters"].values()
        count = sum(math.prod(shape) for shape in shapes)
        yield f"  {count:,} parameters; {', '.join(sizes)}"
        parts = sorted({name.split("/")[0] for name in run["parameters"]})
        yield f"  parts: {', '.join(parts)}" + (
            "" if (path / "training").is_dir() else "; to use, not to train on"
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{path / RUN}: {error!r} is missing or no such value; wanted what a run "
            "of amber_jax writes"
        ) from error
    for name in ("corpus_fingerprint", "tokenizer_fingerprint"):
        if isinstance(run.get(name), str):
            yield f"  {name.replace('_', ' ')} {run[name][:12]}"
    versions = run.get("versions") or {}
    if versions:
        named = [f"{name} {number}" for name, number in versions.items()]
        yield f"  written by {', '.join(named)}"


def _gb(folder: Path) -> str:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size:,} bytes"
