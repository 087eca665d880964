"""A path of object storage: pathlib's methods as far as they are used here.

It is epath's path (so that Orbax and others know it) over fsspec's file systems, of
which no listing is kept: another process may write. What goes wrong is a
`StorageError`, one sentence; what is missing is a FileNotFoundError, as on a disk.

gcsfs repeats what the storage answers with 408, 429 or 5xx: six times in half a minute.
"""

import contextlib
import errno
import fnmatch
import io
import json
import os
import posixpath
import stat
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

# Else gcsfs asks for the kind of every bucket, with credentials that tests have not.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")

import fsspec
from etils.epath.gpath import PosixGPath

from amber_jax.errors import StorageError, UserError

_LIBRARIES = {"gs": "gcsfs", "s3": "s3fs", "az": "adlfs", "hf": "huggingface_hub"}
_EXTRAS = {"gs": "amber_jax[gcs]"}
_READ_BYTES = 1 << 23  # asked for at once by who reads a file from its beginning
_ANSWER_SECONDS = 120  # for one request
_TRIES = 3  # of a read that brings fewer bytes than asked for
_REFUSED = (401, 403)
_LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # of this machine's disk

for _protocol in ("gcs", "s3", "abfs", "hf"):  # for the instances that epath makes too
    fsspec.config.conf.setdefault(_protocol, {}).setdefault("use_listings_cache", False)
fsspec.config.conf["gcs"].setdefault("requests_timeout", _ANSWER_SECONDS)


class ObjectInfo(NamedTuple):
    """What the storage says of an object."""

    size: int  # bytes
    version: str  # another one whenever the object is written
    crc32c: str  # base64 of the big-endian checksum; empty where there is none
    updated: float  # seconds since 1970, by the storage's clock; 0 if it does not say


class Seen(NamedTuple):
    """What the storage says of an object, and when."""

    info: ObjectInfo
    now: float  # seconds since 1970, by the storage's clock


class RemotePath(PosixGPath):
    """A file (object) or a folder (objects whose names begin with its own)."""

    def exists(self) -> bool:
        """Returns whether a file or a folder of this name is there."""
        return self._kind() is not None

    def is_file(self) -> bool:
        """Returns whether this is an object."""
        return self._kind() == "file"

    def is_dir(self) -> bool:
        """Returns whether there are objects below."""
        return self._kind() == "directory"

    def resolve(self, strict: bool = False) -> Self:
        """Returns this path, which is absolute."""
        return self

    def stat(self) -> os.stat_result:
        """Returns kind, size and time of writing, as of a file of this machine."""
        with self._telling("read"):
            entry = self._system.info(str(self))
        is_file = entry["type"] == "file"
        mode = stat.S_IFREG | 0o644 if is_file else stat.S_IFDIR | 0o755
        info = _info(entry)
        when = int(info.updated)
        return os.stat_result((mode, 0, 0, 1, 0, 0, info.size, when, when, when))

    def objects_below(self) -> dict[str, ObjectInfo]:
        """Returns {name below this folder: info}, sorted; {"": info} of an object."""
        with self._telling("read"):
            entries = self._system.find(str(self), detail=True)
        root = self._system._strip_protocol(str(self))
        return {
            key.removeprefix(root).lstrip("/"): _info(info)
            for key, info in sorted(entries.items())
            if info["type"] == "file" and not key.endswith("/")
        }

    def iterdir(self) -> Iterator[Self]:
        """Yields files and folders in this folder, sorted."""
        with self._telling("read"):
            keys = self._system.ls(str(self), detail=False)
        own = self._system._strip_protocol(str(self)).rstrip("/")
        inside = {key.rstrip("/") for key in keys} - {own}
        yield from (self / posixpath.basename(key) for key in sorted(inside))

    def glob(self, pattern: str) -> Iterator[Self]:
        """Yields files and folders below that fit the pattern, sorted."""
        with self._telling("read"):
            keys = self._system.glob(posixpath.join(str(self), pattern))
        root = self._system._strip_protocol(str(self))
        yield from (self / key.removeprefix(root).lstrip("/") for key in sorted(keys))

    def rglob(self, pattern: str) -> Iterator[Self]:
        """Yields the files below whose own name fits the pattern."""
        for name in self.objects_below():
            if fnmatch.fnmatchcase(posixpath.basename(name), pattern):
                yield self / name

    def read_bytes(self) -> bytes:
        """Returns all bytes."""
        with self._telling("read"):
            return self._system.cat_file(str(self))

    def read_range(self, start: int, end: int, version: str = "") -> bytes:
        """Returns bytes `start` up to `end`, which lie within the file.

        Args:
            start: first byte.
            end: the byte behind the last.
            version: if given, of the object that is meant, where the storage has that.

        Raises:
            StorageError: fewer arrive, several times.
            FileNotFoundError: there is no such object, or it is another version.
        """
        only = {"generation": version} if version and self._scheme == "gs" else {}
        content = b""
        for _ in range(_TRIES):
            with self._telling("read"):
                content = self._system.cat_file(str(self), start, end, **only)
            if len(content) == end - start:
                return content
        reason = f"{len(content):,} bytes arrived of {end - start:,}"
        advice = "start the command again"
        raise StorageError(self, "read", reason, advice, passes=True)

    def blocks(self, info: ObjectInfo) -> Iterator[bytes]:
        """Yields the file's bytes, in long requests, as they were when `info` was."""
        for start in range(0, info.size, _READ_BYTES):
            end = min(start + _READ_BYTES, info.size)
            yield self.read_range(start, end, info.version)

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """Opens a file to read it, in long requests; `files.new_file` writes one."""
        if mode not in ("r", "rb", "rt"):
            raise ValueError(f"{self} cannot be opened with mode {mode!r}")
        file = io.BufferedReader(_Ranges(self), _READ_BYTES)
        if mode == "rb":
            return file
        return io.TextIOWrapper(file, encoding or "utf-8", errors, newline)

    def write_bytes(self, data: bytes) -> int:
        """Writes a file, which appears whole; returns its size."""
        with self._telling("written"):
            self._system.pipe_file(str(self), data)
        return len(data)

    def put(self, file: Path) -> None:
        """Writes the bytes of a file of this machine."""
        with self._telling("written"):
            self._system.put_file(str(file), str(self))

    def get(self, file: Path) -> None:
        """Copies the bytes to a file of this machine."""
        with self._telling("read"):
            self._system.get_file(str(self), str(file))

    def replace_version(self, content: bytes, version: str) -> str:
        """Writes if the object still is of a version, which of many writers one does.

        Args:
            content: of the object.
            version: that is there now; "0" if there is none.

        Returns:
            The new version.

        Raises:
            FileExistsError: it is of another version.
        """
        bucket, name = self._bucket_and_name()
        url = self._system.base.replace("/storage/v1/", "/upload/storage/v1/")
        with self._telling("written"):
            written = self._system.call(
                *("POST", f"{url}b/{quote(bucket)}/o"),
                uploadType="media",
                name=name,
                ifGenerationMatch=version,
                data=content,
                json_out=True,
            )
        return str(written["generation"])

    def remove_version(self, version: str) -> None:
        """Removes the object if it still is of a version.

        Raises:
            FileExistsError: it is of another version.
        """
        with self._telling("removed"):
            self._system.call(
                *("DELETE", "b/{}/o/{}", *self._bucket_and_name()),
                ifGenerationMatch=version,
            )

    def seen(self) -> Seen | None:
        """Returns what the storage says of the object now; None if there is none."""
        bucket, name = self._bucket_and_name()
        try:
            with self._telling("read"):
                headers, content = self._system.call("GET", "b/{}/o/{}", bucket, name)
        except FileNotFoundError:
            return None
        entry = self._system._process_object(bucket, json.loads(content))
        return Seen(_info(entry), parsedate_to_datetime(headers["Date"]).timestamp())

    def _bucket_and_name(self) -> tuple[str, str]:
        bucket, _, name = self._system._strip_protocol(str(self)).partition("/")
        return bucket, name

    def mkdir(self, *_: Any, **__: Any) -> None:
        """Does nothing: a folder is there with its first file."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes a file."""
        ignored = (FileNotFoundError,) if missing_ok else ()
        with contextlib.suppress(*ignored), self._telling("removed"):
            self._system.rm_file(str(self))

    def rmtree(self, missing_ok: bool = False) -> None:
        """Removes all objects below, and one of this very name."""
        ignored = (FileNotFoundError,) if missing_ok else ()
        with contextlib.suppress(*ignored), self._telling("removed"):
            self._system.rm(str(self), recursive=True)

    @property
    def _scheme(self) -> str:
        return str(self).partition("://")[0]

    @property
    def _system(self) -> Any:
        """The file system, which fsspec keeps for each process and its forks."""
        try:
            return fsspec.filesystem(self._scheme)
        except ImportError as error:
            library = _LIBRARIES[self._scheme]
            package = _EXTRAS.get(self._scheme, library)
            raise UserError(
                f"{self} is reached with {library}, which cannot be imported "
                f"({error}); pip install '{package}', or give a path of this machine"
            ) from error

    def _kind(self) -> str | None:
        try:
            with self._telling("read"):
                return self._system.info(str(self))["type"]
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _telling(self, action: str) -> Iterator[None]:
        """Says in one sentence what the libraries below say in many ways."""
        try:
            yield
        except (UserError, FileExistsError):
            raise
        except FileNotFoundError as error:
            if action == "written":
                reason = "there is no such bucket"
                advice = "make the bucket first, or give another path"
                raise StorageError(
                    self, action, reason, advice, passes=False
                ) from error
            message = os.strerror(errno.ENOENT)
            raise FileNotFoundError(errno.ENOENT, message, str(self)) from error
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _LOCAL:
                raise
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            refused = getattr(error, "code", None) in _REFUSED or "Forbidden" in reason
            raise StorageError(
                *(self, action, reason),
                "wanted credentials that may do this: `gcloud auth "
                "application-default login`, a service account, or another path"
                if refused
                else "start the command again when the storage answers",
                passes=not refused,
            ) from error


class _Ranges(io.RawIOBase):
    """A file read in ranges, all of the version that it had in the beginning."""

    def __init__(self, path: RemotePath) -> None:
        self._path = path
        infos = path.objects_below()
        if "" not in infos:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        self._info = infos[""]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._info.size}
        self._at = origin[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._info.size)
        if end <= self._at:
            return 0
        content = self._path.read_range(self._at, end, self._info.version)
        buffer[: len(content)] = content
        self._at = end
        return len(content)


def _info(entry: dict[str, Any]) -> ObjectInfo:
    """Returns what a file system says of an object, each in words of its own."""
    names = ("generation", "ETag", "etag", "blob_id", "mtime")
    version = next((str(entry[name]) for name in names if entry.get(name)), "")
    when: Any = entry.get("mtime") or entry.get("LastModified")
    return ObjectInfo(
        size=int(entry.get("size") or 0),
        version=version,
        crc32c=entry.get("crc32c") or "",
        updated=when.timestamp() if hasattr(when, "timestamp") else 0.0,
    )
