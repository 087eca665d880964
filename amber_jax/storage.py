"""Object storage: which paths lie there, and their files as files of this machine.

    location("gs://bucket/corpus")     a path: pathlib's methods, over the network
    local_copy(path)                   the same file or folder on local disk

Everything a user names goes through `location`; `amber_jax.files` writes to what it
returns. Whatever opens real files (memory maps, tokenizers, archives) gets a
`local_copy`. A path of this machine passes both as it is, at no cost.

No folder can be renamed there, so one says that it is being written by an object beside
it, `NAME.partial` (`files.partial_path`), which goes when the last file is there.
"""

import base64
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c

from amber_jax.errors import StorageError, UserError

if TYPE_CHECKING:
    from amber_jax.remote_path import ObjectInfo, RemotePath

PARTIAL = ".partial"  # ends the names of what is being written or removed
CACHE_VARIABLE = "AMBER_CACHE"
_SCHEMES = ("gs", "s3", "az", "hf")  # that epath knows
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")
_CHUNK_BYTES = 1 << 22
_TRIES = 3  # of a file that arrived with other bytes

# Before epath is imported, by whomever: TensorFlow's file system would take its place,
# which reaches other servers, has other errors and no preconditions.
os.environ.setdefault("EPATH_USE_TF", "false")


def location(text: str | os.PathLike[str]) -> Path:
    """Returns the path that a user means, on this machine or in object storage.

    Args:
        text: `runs/mine`, `gs://bucket/runs/mine`; also `s3://`, `az://`, `hf://`.

    Raises:
        UserError: another scheme, or no bucket.
    """
    text = os.fspath(text)
    scheme = _SCHEME.match(text)
    if not scheme:
        return Path(text)
    if scheme[1] not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in _SCHEMES)
        raise UserError(f"{text}: unknown kind of storage; wanted {known}, or a path")
    if not text[scheme.end() :].strip("/"):
        raise UserError(f"{text} names no bucket; wanted {scheme[0]}BUCKET/NAME")
    from amber_jax.remote_path import RemotePath

    path: Any = RemotePath(text)  # has the methods of pathlib.Path that are used here
    return path


def is_remote(path: object) -> bool:
    """Returns whether a path lies in object storage."""
    return not isinstance(path, Path | str) and hasattr(path, "objects_below")


def cache_folder() -> Path:
    """Returns the folder of this machine that keeps copies and unfinished uploads.

    `$AMBER_CACHE`, else `amber_jax` in the user's cache folder.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "amber_jax"


def scratch(output: Path) -> Path:
    """Returns where what is to be uploaded is made: the same place each time."""
    if not is_remote(output):
        return output
    folder = cache_folder() / "uploads" / _key(str(output))
    with _local_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder / output.name


def local_copy(path: Path) -> Path:
    """Returns a file or folder of this machine with the same content.

    A path of this machine is itself. An object is fetched once into the cache, where
    it stands under its URL and its generation; one process fetches, others wait.

    Raises:
        UserError: it cannot be fetched, is still being written, or the disk is full.
        FileNotFoundError: there is no such object.
    """
    if not is_remote(path):
        return path
    remote: RemotePath = path  # type: ignore[assignment]
    objects = objects_below(path)
    if not objects:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if "" not in objects:  # a folder
        refuse_unfinished(path)
    versions = {name: [info.size, info.version] for name, info in objects.items()}
    keep = cache_folder() / "copies" / _key(str(path), versions)
    with _local_disk(keep), _alone(keep.with_name(keep.name + ".lock")):
        if not keep.is_dir():
            fetched = keep.with_name(keep.name + PARTIAL)
            shutil.rmtree(fetched, ignore_errors=True)
            try:
                for name in objects:
                    target = fetched / path.name / name if name else fetched / path.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _fetch(remote / name if name else remote, objects[name], target)
                fetched.rename(keep)
            except BaseException:
                shutil.rmtree(fetched, ignore_errors=True)
                raise
    return keep / path.name


def objects_below(folder: Path) -> "dict[str, ObjectInfo]":
    """Returns {name below a folder of object storage: size, version}, sorted.

    Of a path that is an object itself, its only name is empty.
    """
    remote: RemotePath = folder  # type: ignore[assignment]
    return remote.objects_below()


def refuse_unfinished(folder: Path) -> None:
    """Raises UserError if a folder of object storage was not written to its end."""
    marker = folder.with_name(folder.name + PARTIAL)
    if is_remote(folder) and marker.exists():
        raise UserError(
            f"{folder} is not whole: {marker} says that it is being written, or that "
            "this was cut off; wait, or run the command again that writes it"
        )


def upload(file: Path, path: Path) -> None:
    """Makes a file of this machine an object, which appears whole.

    Raises:
        StorageError: it is refused, or the storage does not answer.
    """
    remote: RemotePath = path  # type: ignore[assignment]
    remote.put(file)


def upload_folder(folder: Path, path: Path, *, replace: bool) -> None:
    """Makes the files of a folder objects below `path`, in the place of what is there.

    Raises:
        OSError: `path` holds something that was written to its end, and is not to be
            replaced.
        StorageError: one is refused, or the storage does not answer.
    """
    marker = path.with_name(path.name + PARTIAL)
    held = path.exists()
    if held and not replace and not marker.exists():
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
    marker.write_bytes(b"")
    if held:
        remove(path)
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        upload(file, path / file.relative_to(folder).as_posix())
    marker.unlink()


def remove(path: Path) -> None:
    """Removes an object, and all objects below it, if there are any."""
    remote: RemotePath = path  # type: ignore[assignment]
    remote.rmtree(missing_ok=True)


def _fetch(path: "RemotePath", info: Any, target: Path) -> None:
    """Copies an object to disk; bytes that are not the object's are fetched anew."""
    for _ in range(_TRIES):
        path.get(target)
        difference = _difference(target, info)
        if not difference:
            return
    target.unlink()
    raise StorageError(
        *(path, "read", f"{difference}, {_TRIES} times"),
        "start the command again; if it stays so, the object is being replaced",
        passes=True,
    )


def _difference(file: Path, info: Any) -> str:
    """Returns how a file differs from the object it is a copy of; forces it to disk."""
    checksum = google_crc32c.Checksum()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            checksum.update(chunk)
        os.fsync(content.fileno())
    size = file.stat().st_size
    if size != info.size:
        return f"{size:,} bytes arrived of {info.size:,}"
    if info.crc32c and base64.b64decode(info.crc32c) != checksum.digest():
        return "its bytes differ from its CRC32C"
    return ""


def _key(*content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Waits until no other process is in the block; a lock dies with its process."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _local_disk(path: Path) -> Iterator[None]:
    """Tells of a cache folder that cannot be written."""
    try:
        yield
    except (UserError, FileNotFoundError):
        raise
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}); make room there, "
            f"or name another folder in ${CACHE_VARIABLE}"
        ) from error
