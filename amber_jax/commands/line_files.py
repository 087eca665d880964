"""Files of lines that commands read and write, stdin and stdout among them."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from amber_jax.corpora.text import read_lines, split_lines
from amber_jax.files import new_file
from amber_jax.storage import location

STANDARD = "-"  # stdin or stdout in place of a file
_CHUNK_BYTES = 1 << 20


def lines_of(source: str) -> Iterator[bytes]:
    """Returns the lines of a file that `corpora.text` reads, or of stdin."""
    if source != STANDARD:
        return read_lines(location(source))
    return split_lines(iter(lambda: sys.stdin.buffer.read(_CHUNK_BYTES), b""))


def title_of(source: str) -> str:
    """Returns what messages call a source of lines."""
    return "stdin" if source == STANDARD else source


def counted(rejects: Mapping[str, int]) -> str:
    """Returns the counts in words: `3 empty, 1 not_utf8`, or `none`."""
    return ", ".join(f"{n:,} {why}" for why, n in rejects.items()) or "none"


@contextlib.contextmanager
def appearing(output: str) -> Iterator[BinaryIO]:
    """Opens a file that takes the name `output` when it is complete, or stdout.

    Raises:
        UserError: it cannot be written.
    """
    if output == STANDARD:
        yield sys.stdout.buffer
        return
    with new_file(location(output)) as file:
        yield file
