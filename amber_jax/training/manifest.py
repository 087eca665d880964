"""A checkpoint's folder: written aside, listed in a manifest, renamed, verified."""

from collections.abc import Callable, Iterable
from pathlib import Path

from amber_jax.errors import StorageError
from amber_jax.files import (
    begin_remote,
    failure,
    file_table,
    fingerprint,
    parse_json,
    partial_path,
    publish,
    table_damage,
    write_json,
    write_text,
)
from amber_jax.storage import is_remote, objects_below, remove

MANIFEST, RUN, PARAMS = "MANIFEST.json", "run.json", "params"
_ITEM = "/_METADATA"  # of Orbax, in each folder that it commits on its own
COMMIT = "commit_success.txt"  # Orbax restores no folder of object storage without it


def begin_folder(complete: Path, *, lead: bool) -> Path:
    """Returns the folder that a checkpoint is written into until it is complete.

    In object storage, where none can be renamed, that is the folder itself; a mark
    beside it says that it is not complete, and what it held is gone.

    Args:
        complete: of the checkpoint.
        lead: whether this is the process that sees to marks.
    """
    if not is_remote(complete):
        return partial_path(complete)
    if lead:
        begin_remote(complete)
        remove(complete)
    return complete


def complete_folder(
    partial: Path, complete: Path, check: Callable[[], None] = lambda: None
) -> None:
    """Makes a written folder appear under its own name, with its manifest.

    Args:
        partial: of `begin_folder`, or of a `workplace`.
        complete: of the checkpoint; what is there is replaced.
        check: called when all files are read, before anything is written; raises if
            another process may be writing there.

    Raises:
        UserError: the disk is full or read-only.
    """
    files = file_table(partial)
    check()
    # The manifest vouches for itself too: an entry that goes missing is noticed.
    manifest = {"files": files, "fingerprint": fingerprint(files)}
    write_json(partial / MANIFEST, manifest)
    if partial == complete:
        commit(complete)
        remove(partial_path(complete))
    else:
        publish(partial, complete, replace=True)
        if is_remote(complete):
            commit(complete)


def commit(path: Path) -> None:
    """Writes what Orbax calls a folder of object storage complete by, if it lacks."""
    names = objects_below(path)
    items = {name.rpartition("/")[0] for name in names if name.endswith(_ITEM)}
    for item in sorted(items | {""}):
        mark = f"{item}/{COMMIT}".lstrip("/")
        if mark not in names:
            write_text(path / mark, f"{MANIFEST} lists what is complete")


def damage(path: Path) -> str | None:
    """Returns why the checkpoint folder cannot be trusted, or None if it can.

    Raises:
        StorageError: its storage does not answer, so that nothing is known of it.
    """
    if is_remote(path) and partial_path(path).exists():
        return "it was not written to its end"
    try:
        manifest = parse_json((path / MANIFEST).read_bytes())
    except FileNotFoundError:
        return f"it has no {MANIFEST}"
    except (OSError, ValueError) as error:
        if isinstance(error, StorageError) and error.passes:
            raise  # this tells nothing of what is stored
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
