r"""Inputs made seekable: unpacked where needed, with the offsets of their lines.

Workers get paths and byte ranges, not lines; therefore every input is read once,
counted, and cut into blocks of `BLOCK_LINES` lines that any worker can seek to.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amber_jax.corpora.conversion import Conversion
from amber_jax.corpora.sources import Converted
from amber_jax.corpora.text import is_packed, read_chunks, split_lines, text_only
from amber_jax.files import new_file

BLOCK_LINES = 64
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class PlainFile:
    """A seekable text file."""

    path: Path
    lines: int
    blocks: array  # int64: byte offset of every BLOCK_LINES-th line, and the end


@dataclass(frozen=True)
class Slice:
    """The bytes [start, end) of a plain file: whole lines."""

    path: Path
    start: int
    end: int


def plain_file(path: Path, copy: Path) -> PlainFile:
    """Returns `path` indexed; a compressed file is unpacked into `copy` first.

    Raises:
        UserError: as `text.read_lines`.
    """
    chunks = text_only(path, read_chunks(path))
    if not is_packed(path):
        return _index(path, chunks)
    with new_file(copy) as file:
        return _index(copy, _written(chunks, file))


def plain_rows(source: Converted, copy: Path) -> tuple[PlainFile, Conversion]:
    """Returns a source's rows as a TSV written to `copy`, and what was left out.

    Raises:
        UserError: as the source's `rows`.
    """
    facts = Conversion()
    rows = source.rows(facts)
    lines = ("\t".join(row).encode("utf-8", "replace") + b"\n" for row in rows)
    with new_file(copy) as file:
        return _index(copy, _written(lines, file)), facts


def read_slice(part: Slice) -> Iterator[bytes]:
    """Yields the lines of a slice, cut as in `read_lines`."""
    with part.path.open("rb") as file:
        file.seek(part.start)
        yield from split_lines(_chunks(file, part.end - part.start))


def _index(path: Path, chunks: Iterable[bytes]) -> PlainFile:
    starts, lines, offset, last = array("q", [0]), 0, 0, b"\n"
    for chunk in chunks:
        ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n"))
        numbers = np.arange(lines + 1, lines + 1 + len(ends))
        of_blocks = ends[numbers % BLOCK_LINES == 0]
        starts.extend((offset + 1 + of_blocks).tolist())
        lines, offset, last = lines + len(ends), offset + len(chunk), chunk[-1:]
    lines += last != b"\n"  # a last line without its line end is a line
    if starts[-1] < offset or not lines:
        starts.append(offset)
    return PlainFile(path, lines, starts)


def _written(chunks: Iterable[bytes], file) -> Iterator[bytes]:
    for chunk in chunks:
        file.write(chunk)
        yield chunk


def _chunks(file, size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := file.read(min(size, _CHUNK_BYTES))):
        size -= len(chunk)
        yield chunk
