"""Files of sentences to files of vectors, wired: bounded memory, however long."""

import contextlib
import hashlib
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from amber_jax.commands.line_files import (
    STANDARD,
    counted,
    lines_of,
    title_of,
)
from amber_jax.corpora.text import LINE_CAP_BYTES, clean_line
from amber_jax.errors import UserError
from amber_jax.files import (
    PROGRESS,
    fingerprint,
    parse_json,
    publish_file,
    resumed_file,
    write_json,
)
from amber_jax.inference.model import Model, load
from amber_jax.model.sentence_vector import SentenceVector
from amber_jax.progress import is_watched, progress_bar
from amber_jax.storage import location

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
    dtype: str | None = None,
    note: Note,
) -> None:
    """Writes one vector per line of a file, as a .npy of [lines, D] float32.

    A line that cannot be used is counted and has the vector of an empty sentence, so
    that row n belongs to line n. After a kill the same command goes on where it was.

    Args:
        checkpoint: as `inference.loading.load_model` takes it.
        source: path of a plain, .gz, .bz2, .xz or .zst file, or
            `line_files.STANDARD` for stdin.
        output: path of the .npy; it appears when complete.
        layer: as of `inference.model.Model.encode`, as are the next three.
        pooling: of the layer's vectors.
        normalize: whether vectors have length 1.
        prompt: before every sentence.
        dtype: of activations, as of `amber_jax.load`.
        note: called with sentences worth telling.

    Raises:
        UserError: the model, an option or a file cannot be used.
    """
    if output == STANDARD:
        raise UserError(
            f"--output is {STANDARD}, but a .npy begins with the count of its rows, "
            "which is known last; wanted the path of a file"
        )
    model = load(checkpoint, dtype=dtype)
    note(str(model))
    vector = model.vector_with(layer=layer, pooling=pooling)
    rejects: dict[str, int] = {}
    sentences = (text or "" for text in clean_lines(source, rejects))
    with resumed_file(location(output)) as folder:
        vectors = folder / "vectors.npy"
        written = write_vectors(
            model,
            sentences,
            vectors,
            vector,
            normalize=normalize,
            prompt=prompt,
            title=title_of(source),
        )
        publish_file(vectors, location(output))
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
    path: Path,
    vector: SentenceVector,
    *,
    normalize: bool | None = None,
    prompt: str | None = None,
    title: str,
) -> Written:
    """Writes the vectors of any number of sentences as .npy and returns the counts.

    Beside it, under the ending `.progress`, stands how far it has come. Vectors that
    the same model has written there of the same sentences are not computed again, and
    the file is the same to the byte.

    Args:
        model: that encodes them.
        sentences: read once, some thousands at a time.
        path: of the .npy.
        vector: as `Model.vector_with` returns it.
        normalize: as of `Model.encode`, as is the next.
        prompt: before every sentence.
        title: of the progress bar, which there is if stderr is a terminal.

    Raises:
        UserError: what is there is of other sentences, or there is no room.
    """
    progress, width = path.with_suffix(PROGRESS), model.config.hidden_size
    made_by = fingerprint(
        [model.fingerprint, model.config.dtype, *vector, normalize, prompt]
    )
    header = _npy_header(0, width)
    remaining, text = iter(sentences), hashlib.blake2b()
    done, text_before = _written_before(progress, made_by)
    size = len(header) + 4 * width * done.rows
    if not path.is_file() or path.stat().st_size < size:  # some were lost
        done, size = Written(0, 0, 0), len(header)
    for window in _windows(itertools.islice(remaining, done.rows), text):
        del window  # its vectors are there
    if done.rows and text.hexdigest() != text_before:
        raise UserError(
            f"{title} has changed since its first {done.rows:,} vectors were computed; "
            "run the same command again to begin anew"
        )
    with (
        path.open("r+b" if done.rows else "wb") as file,
        progress_bar(title, None, shown=is_watched()) as advance,
    ):
        file.write(header)
        file.truncate(size)
        file.seek(size)
        for window in _windows(remaining, text):
            encoded = model.encode_counting(
                window,
                vector,
                normalize=normalize,
                prompt=prompt,
                on_progress=lambda count, _, before=done.rows: advance(before + count),
            )
            file.write(np.ascontiguousarray(encoded.vectors, "<f4"))
            file.flush()
            os.fsync(file.fileno())
            done = Written(
                done.rows + len(window),
                done.empty + encoded.empty,
                done.cut + encoded.cut,
            )
            state = {"made_by": made_by, "text": text.hexdigest(), **done._asdict()}
            write_json(progress, state)
        file.seek(0)
        file.write(_npy_header(done.rows, width))
    return done


def _windows(sentences: Iterator[str], text: Any) -> Iterator[list[str]]:
    """Yields the sentences some thousands at a time; `text` is updated with them."""
    while window := list(itertools.islice(sentences, _WINDOW)):
        text.update("".join(f"{sentence}\n" for sentence in window).encode())
        yield window


def _written_before(progress: Path, made_by: str) -> tuple[Written, str]:
    """The counts of what the same model left there, and the digest of its text.

    What cannot be read tells of no vectors.
    """
    with contextlib.suppress(OSError, ValueError):
        state = parse_json(progress.read_bytes())
        names = {*Written._fields, "made_by", "text"}
        if isinstance(state, dict) and state.keys() == names:
            counts = [state[name] for name in Written._fields]
            are_counts = all(type(n) is int and n >= 0 for n in counts)
            if state["made_by"] == made_by and are_counts:
                return Written(*counts), state["text"]
    return Written(0, 0, 0), ""


def _npy_header(rows: int, width: int) -> bytes:
    """The header of a .npy; NumPy pads it to one length for any count of rows."""
    header = io.BytesIO()
    fields = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()
