"""A folder that is whole or not there: written aside, listed, renamed, verified."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

MANIFEST, RUN = "MANIFEST.json", "run.json"


def complete_folder(partial: Path, complete: Path) -> None:
    """Makes a written folder appear under its own name, with its manifest."""
    write_json(partial / MANIFEST, _file_table(partial))
    _sync_folder(partial)
    if complete.exists():  # a damaged one, or one that is written anew
        shutil.rmtree(complete)
    partial.rename(complete)
    _sync_folder(complete.parent)


def damage(path: Path) -> str | None:
    """Returns why the checkpoint folder cannot be trusted, or None if it can."""
    try:
        table = json.loads((path / MANIFEST).read_text("utf-8"))
        entries = [(name, one["bytes"], one["sha256"]) for name, one in table.items()]
    except FileNotFoundError:
        return f"it has no {MANIFEST}"
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        return f"{MANIFEST} is not readable ({error})"
    if RUN not in table:
        return f"{MANIFEST} does not list {RUN}"
    for name, size, digest in entries:
        file = path / name
        try:
            if file.stat().st_size != size:
                return f"{name} has {file.stat().st_size} bytes, not {size}"
            if _sha256(file) != digest:
                return f"{name} is not what was written (sha256 differs)"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as readable JSON and forces it to disk."""
    with path.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())


def _file_table(path: Path) -> dict[str, dict[str, Any]]:
    return {
        file.relative_to(path).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": _sha256(file),
        }
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
