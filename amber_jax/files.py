"""One way to write files and folders, to sum them up, and to read JSON.

What is written stands under another name beside its own until it is complete and on
disk; then it is renamed. So a name never stands for half of its content, and whatever
ends the process early leaves nothing under it.

A path may lie in object storage (`amber_jax.storage`): what goes there is made on this
machine and uploaded when it is complete.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from amber_jax.errors import DiskFull, StorageError, UserError, WorkersLost
from amber_jax.storage import (
    PARTIAL,
    is_remote,
    objects_below,
    remove,
    scratch,
    upload,
    upload_folder,
)

PROGRESS = ".progress"  # ends the names of files that tell how far work has come
MAX_JSON_BYTES = 1 << 28  # a tokenizer.json of a million entries has a tenth of it
_CHUNK_BYTES = 1 << 22
_READERS = 8  # of objects at a time
# What only writing can fail with.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# The system's words for failures, which libraries wrap in words of their own.
_REASONS = tuple(map(os.strerror, (*_NO_ROOM, errno.EACCES, errno.EPERM, errno.EIO)))
_MAKE_ROOM = "make room there, or give another path"
_GO_ON = "make room there; the same command then goes on where it was"

Errors = type[Exception] | tuple[type[Exception], ...]
FileTable = dict[str, dict[str, Any]]  # name in a folder -> {"bytes", "sha256"}


def failure(error: BaseException) -> str:
    """Returns why a read or a write failed, in the system's own words if it has any."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    known = (reason for reason in _REASONS if reason in text)
    return next(known, text[:200] or type(error).__name__)


@contextlib.contextmanager
def writing(
    path: Path, advice: str = _MAKE_ROOM, *, errors: Errors = OSError
) -> Iterator[None]:
    """Tells a write that fails inside the block in one sentence about `path`.

    Args:
        path: what is written.
        advice: ends the sentence.
        errors: how the library that writes tells of a failure.

    Raises:
        UserError: a full or read-only disk, a missing folder, no permission.
    """
    try:
        yield
    except StorageError:  # a sentence already
        raise
    except errors as error:
        kind = DiskFull if _lacks_room(error) else UserError
        raise kind(f"{path} cannot be written ({failure(error)}); {advice}") from error


@contextlib.contextmanager
def _needing_room(path: Path, advice: str) -> Iterator[None]:
    """Tells of a disk that is full; other failures may be those of an input."""
    try:
        yield
    except OSError as error:
        if not _lacks_room(error):
            raise
        with writing(path, advice):
            raise


def _lacks_room(error: BaseException | None) -> bool:
    """Returns whether a disk was full."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def _is_passing(error: BaseException) -> bool:
    """Returns whether the same work may succeed later.

    A full disk is emptied, a worker that was killed for memory starts again, and so
    does storage that did not answer.
    """
    # An error that libraries put another around; of workers the causes do not come.
    errors = (error, error.__cause__)
    passing = DiskFull | WorkersLost | StorageError
    return any(_lacks_room(cause) or isinstance(cause, passing) for cause in errors)


def partial_path(path: Path) -> Path:
    """Returns the path under which `path` is written until it is whole."""
    return path.parent / (path.name + PARTIAL)


def unfinished(folder: Path, name: str = "*") -> Iterator[Path]:
    """Yields what was not written, or not removed, to its end.

    That of libraries too, which put an ending of theirs behind: `8.partial.orbax-...`.

    Args:
        folder: where it was to appear.
        name: under which; may have wildcards.
    """
    yield from folder.glob(f"{name}{PARTIAL}*")


def is_whole(path: Path) -> bool:
    """Returns whether something is there, and in object storage written to its end."""
    if is_remote(path) and any(unfinished(path.parent, path.name)):
        return False
    return path.exists()


@contextlib.contextmanager
def new_file(path: Path, advice: str = _MAKE_ROOM) -> Iterator[BinaryIO]:
    """Gives a file to write that takes the name `path` when the block ends well.

    Args:
        path: in a folder that exists; a file of that name is replaced.
        advice: ends the sentence that tells of a failure.

    Raises:
        UserError: it cannot be written.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory(prefix="amber_") as folder:
            local = Path(folder) / path.name
            with new_file(local, advice) as file:
                yield file
            upload(local, path)
        return
    partial = partial_path(path)
    try:
        with writing(path, advice):
            if path.exists() and not path.is_file():
                raise OSError(0, "it is no file")
            file = partial.open("wb")
        with _needing_room(path, advice), file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with writing(path, advice):
            partial.replace(path)
            _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):  # said above already
            partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file that appears whole; raises as `new_file`."""
    with new_file(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Writes a UTF-8 file that appears whole; raises as `new_file`."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file that appears whole, as people read it."""
    # No line end: whatever is cut off, the rest is no JSON.
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False))


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, unless they are there.

    Raises:
        UserError: it cannot be made, or is no folder.
    """
    with writing(path, "wanted a folder, or a path where one can be made"):
        path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def workplace(output: Path, *, resumed: str = "") -> Iterator[Path]:
    """Gives a folder `OUTPUT.partial` that no other process uses meanwhile.

    All of it is removed at the end; the lock dies with its process. It is a folder of
    this machine, in the cache where `output` is in object storage.

    Args:
        output: what is made there.
        resumed: name, which may have wildcards, of files that tell how far work has
            come: what a process left beside them that was killed or interrupted, lost
            a worker, or had no room on the disk, stays. Anything else is removed first.

    Raises:
        UserError: another process holds the folder, or the disk is full or read-only.
    """
    if output.resolve() == Path.cwd():
        raise UserError(f"{output} is the current folder; give the path of a new one")
    folder = partial_path(scratch(output))
    with writing(output):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    try:
        _take(lock, folder)
        try:
            with _needing_room(output, _GO_ON if resumed else _MAKE_ROOM):
                if not _has(folder, resumed):
                    _empty(folder)
                yield folder
        except BaseException as error:
            is_over = isinstance(error, Exception) and not _is_passing(error)
            if is_over or not _has(folder, resumed):
                remove_failed(folder)
            raise
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def draft(path: Path) -> Path:
    """Returns a file of this machine to append to, `publish_draft` makes it `path`.

    It is `path` itself on this machine; else it holds what the object does.
    """
    local = scratch(path)
    if is_remote(path):
        with writing(local):
            local.write_bytes(path.read_bytes() if path.exists() else b"")
    return local


def publish_draft(path: Path) -> None:
    """Makes a `draft` what others see under `path`, as it is now."""
    if is_remote(path):
        upload(scratch(path), path)


@contextlib.contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Gives a folder of this machine whose files are those of `folder` at the end.

    Raises:
        UserError: one cannot be written.
    """
    if not is_remote(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="amber_") as local:
        yield Path(local)
        for file in sorted(Path(local).rglob("*")):
            if file.is_file():
                upload(file, folder / file.relative_to(local).as_posix())


@contextlib.contextmanager
def resumed_file(path: Path) -> Iterator[Path]:
    """Gives a folder in which a file is made.

    What a process left there that was killed or interrupted, or had no room on the
    disk, stays, if `*.progress` is among it.

    Args:
        path: that `publish_file` gives the file; in a folder that exists.

    Raises:
        UserError: it cannot be written, or another process writes it.
    """
    with writing(path):
        if path.exists() and not path.is_file():
            raise OSError(0, "it is no file")
        if not is_remote(path):
            path.parent.stat()
    with workplace(path, resumed=f"*{PROGRESS}") as folder:
        yield folder


def publish_file(finished: Path, path: Path) -> None:
    """Forces a file to disk and moves it to `path`, in the place of what is there.

    Args:
        finished: on the same disk as `path`, or in its `workplace`.
        path: of a file, or absent.

    Raises:
        UserError: it cannot be moved there.
    """
    if is_remote(path):
        upload(finished, path)
        return
    with writing(path):
        _sync(finished)
        finished.replace(path)
        _sync_folder(path.parent)


@contextlib.contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Gives an empty folder that takes the name `path` when the block ends well.

    Raises:
        UserError: as `workplace`, or `path` holds something and is not to be replaced.
    """
    with workplace(path) as work:
        whole = work / "whole"
        whole.mkdir()
        yield whole
        publish(whole, path, replace=replace)


def publish(finished: Path, path: Path, *, replace: bool = False) -> None:
    """Forces a folder to disk and moves it to `path`, in one step if that is free.

    Args:
        finished: on the same disk as `path`, or in its `workplace`.
        path: absent or an empty folder, unless it is to be replaced.
        replace: whether what `path` holds goes.

    Raises:
        UserError: `path` cannot be made, or holds something.
    """
    with writing(path, "give another path"):
        if is_remote(path):
            upload_folder(finished, path, replace=replace)
            return
        for folder, _, names in os.walk(finished):
            for name in names:
                _sync(Path(folder) / name)
            _sync_folder(Path(folder))
        # Nothing can exchange two folders everywhere: a kill between the two renames
        # leaves the old one under its other name.
        if replace and path.exists():
            replaced = partial_path(path.with_name(path.name + ".replaced"))
            shutil.rmtree(replaced, ignore_errors=True)
            path.rename(replaced)
            finished.rename(path)
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            finished.rename(path)
        _sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Removes a folder; what a kill leaves of it is among the `unfinished`."""
    if is_remote(path):
        begin_remote(path)
        clear(partial_path(path))
    else:
        shutil.rmtree(path.rename(partial_path(path)))


def begin_remote(path: Path) -> None:
    """Makes a folder of object storage one of the `unfinished`, until `clear`ed."""
    partial_path(path).write_bytes(b"")


def clear(leftover: Path) -> None:
    """Removes one of the `unfinished`, and in object storage what it stands for."""
    if is_remote(leftover):
        remove(leftover.with_name(leftover.name.partition(PARTIAL)[0]))
        remove(leftover)
    else:
        shutil.rmtree(leftover)


def remove_failed(path: Path) -> None:
    """Removes the folder of a write that failed, as far as that is possible.

    The threads of a library write on for a moment after it told of the failure, and
    make the folder anew.
    """
    if is_remote(path):
        with contextlib.suppress(StorageError):
            clear(path)
        return
    for pause in (0.02, 0.1, 0.3):  # seconds
        shutil.rmtree(path, ignore_errors=True)
        time.sleep(pause)
    shutil.rmtree(path, ignore_errors=True)


def file_digest(path: Path) -> str:
    """Returns the sha256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@functools.lru_cache(maxsize=1 << 14)
def _object_digest(path: Any, info: Any) -> str:
    """Returns the sha256 of an object, which a process reads once.

    As long as it stays the same: `info` has another version when it is written.
    """
    digest = hashlib.sha256()
    for block in path.blocks(info):
        digest.update(block)
    return digest.hexdigest()


def file_table(folder: Path) -> FileTable:
    """Returns size and sha256 of every file below a folder, by its path there."""
    if is_remote(folder):
        return _object_table(folder, objects_below(folder))
    return {
        file.relative_to(folder).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": file_digest(file),
        }
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _object_table(folder: Path, objects: Mapping[str, Any]) -> FileTable:
    """Returns the `file_table` of objects, several of which are read at a time."""
    with ThreadPoolExecutor(_READERS) as pool:
        paths = (folder / name for name in objects)
        digests = pool.map(_object_digest, paths, objects.values())
        return {
            name: {"bytes": info.size, "sha256": digest}
            for (name, info), digest in zip(objects.items(), digests, strict=True)
        }


def table_damage(folder: Path, table: Mapping[str, Any]) -> str | None:
    """Returns how a folder differs from its `file_table`, or None if it does not.

    Files that the table does not name are of no account.
    """
    for name, entry in table.items():
        if not _is_entry(name, entry):
            return f"its entry of {name!r} is not a size and a sha256"
    if is_remote(folder):
        return _table_damage_of_objects(folder, table)
    for name, entry in table.items():
        file = folder / name
        try:
            size = file.stat().st_size
            if size != entry["bytes"]:
                return f"{name} has {size} bytes, not {entry['bytes']}"
            if file_digest(file) != entry["sha256"]:
                return f"{name} is not what was written (sha256 differs)"
        except FileNotFoundError:
            return f"{name} is missing"
        except (OSError, ValueError) as error:  # of a name that no file can have
            return f"{name!r} cannot be read ({failure(error)})"
    return None


def _table_damage_of_objects(folder: Path, table: Mapping[str, Any]) -> str | None:
    """Returns what `table_damage` does, of a folder of object storage."""
    try:
        objects = objects_below(folder)
        for name, entry in table.items():
            if name not in objects:
                return f"{name} is missing"
            if objects[name].size != entry["bytes"]:
                return f"{name} has {objects[name].size} bytes, not {entry['bytes']}"
        written = _object_table(folder, {name: objects[name] for name in table})
    except OSError as error:
        if isinstance(error, StorageError) and error.passes:
            raise  # this tells nothing of what is stored
        return f"its files cannot be read ({failure(error)})"
    for name, entry in table.items():
        if written[name]["sha256"] != entry["sha256"]:
            return f"{name} is not what was written (sha256 differs)"
    return None


def fingerprint(content: Any) -> str:
    """Returns the sha256 of a JSON-able value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def parse_json(content: bytes | str) -> Any:
    """Returns the value of a JSON text that nobody vouches for.

    Raises:
        ValueError: it is no JSON in UTF-8, or nested deeper than Python reads.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path, advice: str) -> Any:
    """Returns the content of a JSON file that nobody vouches for.

    Args:
        path: the file.
        advice: ends the sentence that tells of a failure: what was wanted, what to do.

    Raises:
        UserError: missing, unreadable or not JSON.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        return parse_json(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({failure(error)}); {advice}"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{path} is not a readable JSON file ({failure(error)}); {advice}"
        ) from error


def read_object(path: Path, advice: str) -> dict[str, Any]:
    """Returns the object in a JSON file; raises as `read_json`, or if it is none."""
    content = read_json(path, advice)
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object; {advice}")
    return content


def _is_entry(name: object, entry: object) -> bool:
    if not isinstance(name, str) or not isinstance(entry, Mapping):
        return False
    path = PurePosixPath(name)
    inside = bool(path.parts) and not path.is_absolute() and ".." not in path.parts
    return inside and (
        type(entry.get("bytes")) is int and isinstance(entry.get("sha256"), str)
    )


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The previous holder may have removed the folder before letting go of it.
        if os.fstat(lock).st_ino == folder.stat().st_ino:
            return
    except (BlockingIOError, FileNotFoundError):
        pass
    raise UserError(
        f"{folder} is being written by another process; wait for it, or give another "
        "path"
    )


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _has(folder: Path, name: str) -> bool:
    return bool(name) and any(folder.glob(name))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(path: Path) -> None:
    """Forces the names in a folder to disk, where the file system can do that."""
    with contextlib.suppress(OSError):
        _sync(path)
