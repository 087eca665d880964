"""Text files as bytes: lines end at `\\n` only, and no byte in them is fatal.

Whatever is wrong with a line becomes a reason that callers count; what is wrong with
a whole file (missing, truncated, no header) is a `UserError` that names it.
"""

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from amber_jax.corpora.content import other_content
from amber_jax.errors import UserError

LINE_CAP_BYTES = 1 << 20  # longer lines are cut here and always rejected
MAX_EXPANSION = 1000  # text compresses 3 to 50 times; more is an archive bomb
_FREE_EXPANSION_BYTES = 64 << 20  # never suspicious below this size
_CHUNK_BYTES = 1 << 20

_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_CONTROLS = re.compile("[\x01-\x1f\x7f-\x9f]")
_BOM = "\ufeff"

KEY = "key"  # the first column of a many-way file, if it is no language

Cells = dict[str, str]


def read_lines(path: Path) -> Iterator[bytes]:
    r"""Yields the lines of a plain, .gz, .bz2 or .xz file, without their `\n`.

    A line longer than `LINE_CAP_BYTES` is cut to one byte more than that, so that
    memory stays bounded and `clean_line` rejects it. A `\r`, U+2028 or any other
    byte stays inside its line: parallel files keep their line numbers.

    Raises:
        UserError: the file is missing, unreadable, truncated, an archive bomb or no
            plain text.
    """
    yield from split_lines(text_only(Path(path), read_chunks(Path(path))))


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    r"""Yields the lines of consecutive pieces of a file, cut as in `read_lines`."""
    kept = b""  # the start of a line whose end has not been read
    for chunk in chunks:
        first, *lines = chunk.split(b"\n")
        kept = _cut(kept + first)
        if not lines:
            continue
        yield kept
        *whole, kept = lines
        yield from whole
    if kept:
        yield kept


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yields the decompressed bytes of a file in pieces of at most 1 MiB.

    Raises:
        UserError: as `read_lines`, but for content that is no plain text.
    """
    try:
        limit = path.stat().st_size * MAX_EXPANSION + _FREE_EXPANSION_BYTES
        with _OPENERS.get(path.suffix.lower(), open)(path, "rb") as file:
            yield from _bounded(file, path, limit)
    except (EOFError, lzma.LZMAError, zlib.error, OSError) as error:
        raise UserError(
            f"{path}: cannot be read to its end ({error}); "
            "give a complete, readable text, .gz, .bz2 or .xz file"
        ) from error


def text_only(path: Path, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the pieces of a file whose first one looks like lines of text.

    Raises:
        UserError: it looks like something else, see `content.other_content`.
    """
    for number, chunk in enumerate(chunks):
        if number == 0 and (kind := other_content(chunk)):
            raise UserError(
                f"{path}: looks like {kind}; wanted lines of UTF-8 text, "
                "so convert the file or leave it out"
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


def _cut(line: bytes) -> bytes:
    return line[: LINE_CAP_BYTES + 1]


def _bounded(file: BinaryIO, path: Path, limit: int) -> Iterator[bytes]:
    total = 0
    while chunk := file.read(_CHUNK_BYTES):
        total += len(chunk)
        if total > limit:
            raise UserError(
                f"{path}: unpacks to more than {MAX_EXPANSION} times its size; "
                "this is no text archive, remove it from the config"
            )
        yield chunk
