"""What runs of every kind leave in their folder, and how they know it again."""

import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

import amber_jax
from amber_jax.errors import UserError
from amber_jax.files import make_folder, write_json
from amber_jax.training.checkpoint import Checkpoint

CHECKPOINTS, RESULTS = "checkpoints", "results.json"
PREDICTIONS = "predictions"  # folder of TASK/test-XX.tsv, as XTREME takes it
_VERSIONED = ("jax", "flax", "optax", "orbax-checkpoint", "numpy")


def begin_workdir(workdir: Path, config: Mapping[str, Any]) -> None:
    """Makes the folder and writes config.json into it.

    Raises:
        UserError: it cannot be written.
    """
    make_folder(workdir / CHECKPOINTS)
    write_json(workdir / "config.json", config)


def as_json(config: ConfigDict) -> dict[str, Any]:
    """Returns a config as JSON can hold it: tuples become lists."""
    return json.loads(config.to_json_best_effort())


def versions() -> dict[str, str]:
    """Returns the versions of this package and of those that decide its numbers."""
    return {"amber_jax": amber_jax.__version__} | {
        name: importlib.metadata.version(name) for name in _VERSIONED
    }


def check_same_run(
    found: Checkpoint,
    config: Mapping[str, Any],
    *,
    free_to_change: Iterable[str],
    fingerprints: Mapping[str, str],
) -> None:
    """Raises UserError if `found` belongs to a run of another config or other data.

    Args:
        found: a checkpoint of the workdir.
        config: the config now, as JSON.
        free_to_change: top-level settings that change nothing of the result.
        fingerprints: {key of run.json: its value now}, as `corpus_fingerprint`.
    """
    changed = [
        f"{name} was {was!r} and is {value!r}"
        for name, was, value in _differences(found.run["config"], config)
        if name.split(".")[0].split("[")[0] not in set(free_to_change)
    ]
    changed += [
        f"the {key.removesuffix('_fingerprint')} is another one"
        for key, value in fingerprints.items()
        if found.run[key] != value
    ]
    if changed:
        raise UserError(
            f"{found.path} belongs to a run with another config: {'; '.join(changed)}; "
            "use another --workdir, or the config that the run began with"
        )


def _differences(before: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """Returns (dotted name, before, now) of every leaf that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else key
            found += _differences(before.get(key), now.get(key), inner)
        return found
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [
            difference
            for index, (was, value) in enumerate(zip(before, now, strict=True))
            for difference in _differences(was, value, f"{name}[{index}]")
        ]
    return [] if before == now else [(name, before, now)]
