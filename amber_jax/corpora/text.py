"""Text files as bytes: lines end at `\\n` only, and no byte in them is fatal.

Whatever is wrong with a line becomes a reason that callers count; what is wrong with
a whole file (missing, truncated, no header) is a `UserError` that names it.
"""

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from amber_jax.corpora.content import other_content
from amber_jax.errors import UserError, from_extra
from amber_jax.storage import location

LINE_CAP_BYTES = 1 << 20  # longer lines are cut here and always rejected
MAX_EXPANSION = 1000  # text compresses 3 to 50 times; more is an archive bomb
_FREE_EXPANSION_BYTES = 64 << 20  # never suspicious below this size
_CHUNK_BYTES = 1 << 20

_CONTROLS = re.compile("[\x01-\x1f\x7f-\x9f]")
_BOM = "\ufeff"
_REPLACED = "\ufffd"  # what is no UTF-8 is decoded as

KEY = "key"  # the first column of a many-way file, if it is no language

Cells = dict[str, str]


def read_lines(path: Path) -> Iterator[bytes]:
    r"""Yields the lines of a plain, .gz, .bz2, .xz or .zst file, without their `\n`.

    A line longer than `LINE_CAP_BYTES` is cut to one byte more than that, so that
    memory stays bounded and `clean_line` rejects it. A `\r`, U+2028 or any other
    byte stays inside its line: parallel files keep their line numbers.

    Raises:
        UserError: the file is missing, unreadable, truncated, an archive bomb or no
            plain text.
    """
    yield from split_lines(text_only(location(path), read_chunks(location(path))))


def split_lines(
    chunks: Iterable[bytes], *, cap: int = LINE_CAP_BYTES
) -> Iterator[bytes]:
    r"""Yields the lines of consecutive pieces of a file, cut to `cap` + 1 bytes."""
    kept = b""  # the start of a line whose end has not been read
    for chunk in chunks:
        first, *lines = chunk.split(b"\n")
        if len(kept) <= cap:
            kept = (kept + first)[: cap + 1]
        if not lines:
            continue
        yield kept
        *whole, kept = lines
        yield from whole
    if kept:
        yield kept


def read_chunks(path: Path, span: tuple[int, int] | None = None) -> Iterator[bytes]:
    """Yields the decompressed bytes of a file in pieces of at most 1 MiB.

    Args:
        path: plain, .gz, .bz2, .xz or .zst.
        span: begin and end of the compressed bytes to read; None: all.

    Raises:
        UserError: as `read_lines`, but for content that is no plain text.
    """
    try:
        with path.open("rb") as stored, _spanned(stored, span) as packed:
            size = path.stat().st_size if span is None else span[1] - span[0]
            with _OPENERS.get(path.suffix.lower(), _plain)(packed, "rb") as file:
                yield from bounded(file, str(path), size)
    except (EOFError, lzma.LZMAError, zlib.error, OSError) as error:
        raise UserError(
            f"{path}: cannot be read to its end ({error}); "
            "give a complete, readable text, .gz, .bz2, .xz or .zst file"
        ) from error


def bounded(file: BinaryIO, name: str, packed_bytes: int) -> Iterator[bytes]:
    """Yields the bytes of an open file in pieces of at most 1 MiB.

    Args:
        file: unpacks what it reads.
        name: for messages.
        packed_bytes: how much it reads.

    Raises:
        UserError: it unpacks to more than text would.
    """
    limit, total = packed_bytes * MAX_EXPANSION + _FREE_EXPANSION_BYTES, 0
    while chunk := file.read(_CHUNK_BYTES):
        total += len(chunk)
        if total > limit:
            raise UserError(
                f"{name}: unpacks to more than {MAX_EXPANSION} times its size; "
                "this is no text archive, remove it from the config"
            )
        yield chunk


def text_only(path: Path, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the pieces of a file whose first one looks like lines of text.

    Raises:
        UserError: it looks like something else, see `content.other_content`.
    """
    for number, chunk in enumerate(chunks):
        if number == 0 and (kind := other_content(chunk)):
            raise UserError(
                f"{path}: looks like {kind}; wanted lines of UTF-8 text, so give it "
                "the name or the source of its format (docs/data.md), or leave it out"
            )
        yield chunk


def clean_line(raw: bytes, *, max_bytes: int) -> tuple[str | None, str | None]:
    r"""Returns (text, None), or (None, reason) for a line that cannot be used.

    A leading BOM and a trailing `\r` are removed, control characters and line
    separators become spaces, runs of whitespace become one space:

        b"\xef\xbb\xbfOne\ttwo \r"   ("One two", None)
        b"caf\xe9"                   (None, "not_utf8")
        b"a\0b"                      (None, "nul")
        b" \r"                       (None, "empty")

    Args:
        raw: one line as `read_lines` yields it.
        max_bytes: longer lines are "too_long"; at most `LINE_CAP_BYTES` counts.
    """
    if len(raw) > min(max_bytes, LINE_CAP_BYTES):
        return None, "too_long"
    if b"\0" in raw:
        return None, "nul"
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None, "not_utf8"
    text = clean_text(text)
    return (text, None) if text else (None, "empty")


def clean_lines(
    raws: Sequence[bytes], *, max_bytes: int
) -> list[tuple[str | None, str | None]]:
    """Returns `clean_line` of each line, fast where no line needs cleaning.

    Args:
        raws: lines as `read_lines` yields them, at least one.
        max_bytes: as of `clean_line`.
    """
    joined = b"\n".join(raws)
    if len(joined) <= min(max_bytes, LINE_CAP_BYTES):
        text = joined.decode("utf-8", "replace")
        if _REPLACED not in text and _all_clean(text):
            return [(line, None) for line in text.split("\n")]
    return [clean_line(raw, max_bytes=max_bytes) for raw in raws]


def _all_clean(text: str) -> bool:
    """Returns whether `clean_text` changes no line of a text, and none is empty."""
    bounded_text = f"\n{text}\n"
    return text.replace("\n", "").isprintable() and not any(
        blanks in bounded_text for blanks in ("  ", " \n", "\n ", "\n\n")
    )


def clean_text(text: str) -> str:
    """Returns `text` without leading BOM and controls, whitespace collapsed."""
    # Most lines are clean: nothing printable is a control or a space but " ".
    if text.isprintable() and "  " not in text and text.strip(" ") == text:
        return text
    return " ".join(_CONTROLS.sub(" ", text.removeprefix(_BOM)).split())


def read_many_way(path: Path) -> tuple[list[str], Iterator[Cells]]:
    """Returns the languages of a many-way TSV and its rows as {language: text}.

    The header is `key<TAB>en<TAB>de...`; the column `key` may be missing. Empty and
    unusable cells are left out of a row; rows with a wrong number of fields are left
    out altogether (`many_way_rows` tells how many).

    Raises:
        UserError: the header does not name two languages, or as `read_lines`.
    """
    languages = [column for column in many_way_columns(path) if column != KEY]
    return languages, (cells for cells, reason in many_way_rows(path) if not reason)


def many_way_columns(path: Path) -> list[str]:
    """Returns the header of a many-way TSV: language codes, perhaps after `KEY`.

    Raises:
        UserError: it does not name two languages.
    """
    raw = next(read_lines(path), b"")
    text = raw.decode("utf-8", "replace").removeprefix(_BOM).rstrip("\r")
    columns = [column.strip() for column in text.split("\t")]
    languages = columns[columns[0] == KEY :]
    if len(languages) < 2 or not all(languages) or len({*columns}) < len(columns):
        raise UserError(
            f"{path}: the header is {text[:80]!r}; wanted key<TAB>en<TAB>de..., "
            "at least two different language codes separated by tabs"
        )
    return columns


def many_way_rows(path: Path) -> Iterator[tuple[Cells, str | None]]:
    """Yields ({language: text}, reason) for every line below the header.

    `reason` is None, or "field_count" (with no cells) for a line that has more or
    fewer fields than the header, or "too_long" as in `read_lines`.
    """
    columns = many_way_columns(path)
    lines = read_lines(path)
    next(lines)
    for raw in lines:
        yield many_way_cells(raw, columns)


def many_way_cells(raw: bytes, columns: list[str]) -> tuple[Cells, str | None]:
    """Returns one line's ({language: text}, reason), see `many_way_rows`.

    columns  key en de        raw  b"1\\tYes.\\t"        ({"en": "Yes."}, None)
    """
    if len(raw) > LINE_CAP_BYTES:
        return {}, "too_long"
    fields = raw.split(b"\t")
    if len(fields) != len(columns):
        return {}, "field_count"
    cells = {
        column: clean_line(field, max_bytes=LINE_CAP_BYTES)[0]
        for column, field in zip(columns, fields, strict=True)
    }
    cells.pop(KEY, None)
    return {column: text for column, text in cells.items() if text}, None


def is_packed(path: Path) -> bool:
    """Returns whether a file's name says that `read_chunks` unpacks it."""
    return path.suffix.lower() in _OPENERS


class _Window(io.RawIOBase):
    """So many bytes of an open file, from where it stands."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._left = file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


def _spanned(stored: BinaryIO, span: tuple[int, int] | None) -> BinaryIO:
    if span is None:
        return stored
    stored.seek(span[0])
    return io.BufferedReader(_Window(stored, span[1] - span[0]))


def _plain(packed: BinaryIO, mode: str) -> BinaryIO:
    del mode
    return packed


def _open_zstandard(packed: BinaryIO, mode: str) -> Any:
    del mode
    with from_extra("corpora", "a .zst file is read with pyarrow"):
        import pyarrow
    return pyarrow.CompressedInputStream(packed, "zstd")


_OPENERS = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstandard,
}
