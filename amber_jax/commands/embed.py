"""Files of sentences to files of vectors, wired: bounded memory, however long."""

import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from amber_jax.commands.line_files import (
    STANDARD,
    appearing,
    counted,
    lines_of,
    title_of,
)
from amber_jax.corpora.text import LINE_CAP_BYTES, clean_line
from amber_jax.errors import UserError
from amber_jax.inference.model import Model, load
from amber_jax.model.sentence_vector import SentenceVector
from amber_jax.progress import is_watched, progress_bar

_WINDOW = 1 << 15  # sentences in memory together, and sorted by length together

Note = Callable[[str], None]


class Written(NamedTuple):
    """Counts of the vectors written, and of sentences to warn about."""

    rows: int
    empty: int
    cut: int


def embed_file(
    checkpoint: Path,
    source: str,
    output: str,
    *,
    layer: int | None = None,
    pooling: str | None = None,
    normalize: bool | None = None,
    prompt: str | None = None,
    note: Note,
) -> None:
    """Writes one vector per line of a file, as a .npy of [lines, D] float32.

    A line that cannot be used is counted and has the vector of an empty sentence, so
    that row n belongs to line n.

    Args:
        checkpoint: as `inference.loading.load_model` takes it.
        source: path of a plain, .gz, .bz2 or .xz file, or
            `line_files.STANDARD` for stdin.
        output: path of the .npy; it appears when complete.
        layer: as of `inference.model.Model.encode`, as are the next three.
        pooling: of the layer's vectors.
        normalize: whether vectors have length 1.
        prompt: before every sentence.
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
    vector = model.vector_with(layer=layer, pooling=pooling)
    rejects: dict[str, int] = {}
    sentences = (text or "" for text in clean_lines(source, rejects))
    with appearing(output) as file:
        written = write_vectors(
            model,
            sentences,
            file,
            vector,
            normalize=normalize,
            prompt=prompt,
            title=title_of(source),
        )
    note(
        f"{written.rows:,} lines -> {output}, [{written.rows}, "
        f"{model.config.hidden_size}] float32; unusable: {counted(rejects)}"
    )
    for sentence in model.encoding_warnings(written.empty, written.cut):
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


def write_vectors(
    model: Model,
    sentences: Iterable[str],
    file: BinaryIO,
    vector: SentenceVector,
    *,
    normalize: bool | None = None,
    prompt: str | None = None,
    title: str,
) -> Written:
    """Writes the vectors of any number of sentences as .npy and returns the counts.

    Args:
        model: that encodes them.
        sentences: read once, some thousands at a time.
        file: open for writing at its start, and not a pipe.
        vector: as `Model.vector_with` returns it.
        normalize: as of `Model.encode`, as is the next.
        prompt: before every sentence.
        title: of the progress bar, which there is if stderr is a terminal.
    """
    rows = empty = cut = 0
    file.write(_npy_header(0, model.config.hidden_size))
    remaining = iter(sentences)
    with progress_bar(title, None, shown=is_watched()) as advance:
        while window := list(itertools.islice(remaining, _WINDOW)):
            encoded = model.encode_counting(
                window,
                vector,
                normalize=normalize,
                prompt=prompt,
                on_progress=lambda done, _, before=rows: advance(before + done),
            )
            file.write(np.ascontiguousarray(encoded.vectors, "<f4"))
            rows += len(window)
            empty, cut = empty + encoded.empty, cut + encoded.cut
    file.seek(0)
    file.write(_npy_header(rows, model.config.hidden_size))
    return Written(rows, empty, cut)


def _npy_header(rows: int, width: int) -> bytes:
    """The header of a .npy; NumPy pads it to one length for any count of rows."""
    header = io.BytesIO()
    fields = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()
