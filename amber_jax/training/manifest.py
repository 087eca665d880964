"""A checkpoint's folder: written aside, listed in a manifest, renamed, verified."""

from collections.abc import Iterable
from pathlib import Path

from amber_jax.files import (
    failure,
    file_table,
    fingerprint,
    parse_json,
    publish,
    table_damage,
    write_json,
)

MANIFEST, RUN, PARAMS = "MANIFEST.json", "run.json", "params"


def complete_folder(partial: Path, complete: Path) -> None:
    """Makes a written folder appear under its own name, with its manifest.

    Raises:
        UserError: the disk is full or read-only.
    """
    files = file_table(partial)
    # The manifest vouches for itself too: an entry that goes missing is noticed.
    manifest = {"files": files, "fingerprint": fingerprint(files)}
    write_json(partial / MANIFEST, manifest)
    publish(partial, complete, replace=True)


def damage(path: Path) -> str | None:
    """Returns why the checkpoint folder cannot be trusted, or None if it can."""
    try:
        manifest = parse_json((path / MANIFEST).read_bytes())
    except FileNotFoundError:
        return f"it has no {MANIFEST}"
    except (OSError, ValueError) as error:
        return f"{MANIFEST} is not readable ({failure(error)})"
    if not isinstance(manifest, dict):
        return f"{MANIFEST} is not readable (it is no JSON object)"
    files = manifest  # of checkpoints that were written before it had a fingerprint
    if "files" in manifest:
        files = manifest["files"]
        if manifest.get("fingerprint") != fingerprint(files):
            return f"{MANIFEST} is not what was written (sha256 differs)"
    if not isinstance(files, dict):
        return f"{MANIFEST} is not readable (its files are no JSON object)"
    for part in (RUN, PARAMS):
        if not _lists(files, part):
            return f"{MANIFEST} does not list {part}"
    return table_damage(path, files)


def _lists(names: Iterable[str], part: str) -> bool:
    """Returns whether a file or folder is among the names of files."""
    return any(name.split("/")[0] == part for name in names)
