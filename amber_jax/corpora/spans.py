"""Rows read from where they lie in shards, on this machine or in object storage."""

import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import numpy as np

from amber_jax.errors import StorageError
from amber_jax.files import file_digest
from amber_jax.storage import is_remote, local_copy

_CRC_MASK_DELTA = 0xA282EAD8
_CRC_BYTES = 4  # behind a row
# Of object storage: an answer takes as long as some hundred KiB, so neighbors come
# together, and rows that lie apart are asked for at the same time.
_GAP_BYTES = 1 << 16
_LONGEST_BYTES = 1 << 23
_REQUESTS = 32
_TRIES = 3


class Span(NamedTuple):
    """Where a row lies in its file, and the array that it goes to."""

    offset: int
    row: np.ndarray


def read_spans(files: Iterable[tuple[Path, Sequence[Span]]]) -> None:
    """Fills rows from files; the spans of each are sorted by offset.

    On this machine each is read by a system call of its own: rows asked for are few of
    a shard and far apart, and mapping the shard into memory would take longer than
    reading them. Rows from object storage are compared with their checksums.

    Raises:
        OSError: a file is not there, or the storage does not answer.
        ValueError: a file is shorter than it was.
    """
    runs = []
    for path, spans in files:
        if is_remote(path):
            runs += [(path, run) for run in _runs(spans)]
        else:
            _read_local(path, spans)
    for _ in _requests().map(_read_run, runs) if runs else ():
        pass


def local_copies(files: Sequence[Path]) -> list[Path]:
    """Returns the files as files of this machine, fetched some at a time."""
    return list(_requests().map(local_copy, files))


def digests(files: Sequence[Path]) -> Iterator[str]:
    """Yields the sha256 of each file; those of object storage are read side by side."""
    remote = any(map(is_remote, files))
    return _requests().map(file_digest, files) if remote else map(file_digest, files)


def masked_crc(data: Any) -> int:
    """Returns the checksum that TFRecords have.

    Source: tensorflow/core/lib/hash/crc32c.h (rotate right by 15, add a delta).
    """
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _CRC_MASK_DELTA) & 0xFFFFFFFF


def _read_local(path: Path, spans: Sequence[Span]) -> None:
    with path.open("rb", buffering=0) as file:
        for offset, row in spans:
            if os.preadv(file.fileno(), [row], offset) < row.nbytes:
                raise ValueError(f"{path} ends before byte {offset + row.nbytes}")


def _runs(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Yields spans that lie near each other together."""
    run: list[Span] = []
    for span in spans:
        if run and (
            span.offset - _end(run[-1]) > _GAP_BYTES
            or _end(span) - run[0].offset > _LONGEST_BYTES
        ):
            yield run
            run = []
        run.append(span)
    if run:
        yield run


def _end(span: Span) -> int:
    return span.offset + span.row.nbytes + _CRC_BYTES


def _read_run(located: tuple[Any, list[Span]]) -> None:
    path, run = located
    begin = run[0].offset
    for _ in range(_TRIES):
        content = memoryview(path.read_range(begin, _end(run[-1])))
        if all(_fill(span, content[span.offset - begin :]) for span in run):
            return
    reason = f"a row near byte {begin} differs from its checksum, {_TRIES} times"
    raise StorageError(path, "read", reason, "copy the corpus again", passes=False)


def _fill(span: Span, content: memoryview) -> bool:
    """Fills a row; returns whether it is what was written."""
    size = span.row.nbytes
    span.row[:] = np.frombuffer(content[:size], span.row.dtype)
    (crc,) = np.frombuffer(content[size : size + _CRC_BYTES], "<u4")
    return int(crc) == masked_crc(bytes(content[:size]))


@functools.cache
def _requests() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_REQUESTS, "object storage")
