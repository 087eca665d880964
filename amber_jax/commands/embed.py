"""Files of sentences to files of vectors, wired: bounded memory, however long."""

import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from amber_jax.commands.line_files import STANDARD, appearing, lines_of
from amber_jax.corpora.text import LINE_CAP_BYTES, clean_line
from amber_jax.errors import UserError
from amber_jax.inference.model import Model, load
from amber_jax.progress import is_watched, progress_bar

_WINDOW = 1 << 15  # sentences in memory together, and sorted by length together

Note = Callable[[str], None]


class Wanted(NamedTuple):
    """Which vectors, as `library.Model.encode` takes it."""

    layer: int | None = None
    pooling: str | None = None
    normalize: bool = False


class Written(NamedTuple):
    """How many vectors were written, and what was odd about their sentences."""

    rows: int
    empty: int
    cut: int


def embed_file(
    checkpoint: Path, source: str, output: str, wanted: Wanted, *, note: Note
) -> None:
    """Writes one vector per line of a file, as a .npy of [lines, D] float32.

    A line that cannot be used is told and has the vector of an empty sentence, so
    that row n belongs to line n.

    Args:
        checkpoint: a run's workdir or one of its checkpoint folders.
        source: path of a plain, .gz, .bz2 or .xz file, or
            `line_files.STANDARD` for stdin.
        output: path of the .npy; it appears when complete.
        wanted: which vectors.
        note: called with sentences worth telling.

    Raises:
        UserError: the model, an option or a file cannot be used.
    """
    if output == STANDARD:
        raise UserError(
            f"--output is {STANDARD}, but a .npy begins with the count of its rows, "
            "which is known last; wanted the path of a file"
        )
    model = load(checkpoint)
    note(str(model))
    rejects: dict[str, int] = {}
    sentences = (text or "" for text in clean_lines(source, rejects))
    title = "stdin" if source == STANDARD else source
    with appearing(output) as file:
        written = write_vectors(model, sentences, file, wanted, title=title)
    note(
        f"{written.rows:,} lines -> {output}, [{written.rows}, "
        f"{model.config.hidden_size}] float32; unusable: {counted(rejects)}"
    )
    for sentence in model.told(written.empty, written.cut):
        note(sentence)


def clean_lines(source: str, rejects: dict[str, int]) -> Iterator[str | None]:
    """Yields the lines as `corpora.text.clean_line` cleans them, None for unusable.

    Args:
        source: a path, or `line_files.STANDARD` for stdin.
        rejects: where the reasons are counted.
    """
    for raw in lines_of(source):
        text, reason = clean_line(raw, max_bytes=LINE_CAP_BYTES)
        if reason is not None:
            rejects[reason] = rejects.get(reason, 0) + 1
        yield text


def counted(rejects: dict[str, int]) -> str:
    """Returns the counts in words: `3 empty, 1 not_utf8`, or `none`."""
    return ", ".join(f"{n:,} {why}" for why, n in rejects.items()) or "none"


def write_vectors(
    model: Model,
    sentences: Iterable[str],
    file: BinaryIO,
    wanted: Wanted,
    *,
    title: str,
) -> Written:
    """Writes the vectors of any number of sentences as .npy and returns the counts.

    Args:
        model: that encodes them.
        sentences: read once, some thousands at a time.
        file: open for writing at its start, and not a pipe.
        wanted: which vectors.
        title: of the progress bar, which there is if stderr is a terminal.
    """
    rows = empty = cut = 0
    file.write(_npy_header(0, model.config.hidden_size))
    remaining = iter(sentences)
    with progress_bar(title, None, shown=is_watched()) as advance:
        while window := list(itertools.islice(remaining, _WINDOW)):
            encoded = model.encode_counting(
                window,
                **wanted._asdict(),
                on_progress=lambda done, _, before=rows: advance(before + done),
            )
            file.write(np.ascontiguousarray(encoded.vectors, "<f4"))
            rows += len(window)
            empty, cut = empty + encoded.empty, cut + encoded.cut
    file.seek(0)
    file.write(_npy_header(rows, model.config.hidden_size))
    return Written(rows, empty, cut)


def _npy_header(rows: int, width: int) -> bytes:
    """Returns the head of a .npy; NumPy pads it to one length for any count of rows."""
    head = io.BytesIO()
    facts = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(head, facts)
    return head.getvalue()
