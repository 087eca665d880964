"""Lines of data files as text, each with its number: what is wrong names both."""

from collections.abc import Iterator
from pathlib import Path

from amber_jax.corpora.text import LINE_CAP_BYTES, read_lines
from amber_jax.errors import UserError

_BOM = b"\xef\xbb\xbf"


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Yields (number from 1, text) of each line, without `\n`, `\r\n` and a BOM.

    Numbers count the lines of the plain text, also in .gz, .bz2 and .xz files.

    Raises:
        UserError: a line is not UTF-8 or too long, or as `corpora.text.read_lines`.
    """
    for number, raw in enumerate(read_lines(path), start=1):
        if len(raw) > LINE_CAP_BYTES:
            raise line_error(path, number, "is longer than 1 MiB; this is no data file")
        if number == 1:
            raw = raw.removeprefix(_BOM)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise line_error(
                path, number, "is not UTF-8; convert or download the file"
            ) from error
        yield number, text.removesuffix("\r")


def line_error(path: Path | str, number: int, what: str) -> UserError:
    """Returns the error that says `what` of a line."""
    return UserError(f"{path}, line {number} {what}")


def excerpt(text: str) -> str:
    """Returns the start of `text` in quotes, for an error."""
    return repr(text if len(text) <= 60 else text[:59] + "…")
