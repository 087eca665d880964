"""Mining, wired: two files of sentences in, their translations of each other out."""

import contextlib
import hashlib
import sys
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from amber_jax.commands.embed import clean_lines, write_vectors
from amber_jax.commands.line_files import (
    STANDARD,
    counted,
    title_of,
)
from amber_jax.errors import UserError
from amber_jax.files import publish_file, resumed_file
from amber_jax.inference.model import Model, load
from amber_jax.model.sentence_vector import SentenceVector
from amber_jax.ranges import Choice, problems, real, refuse, whole
from amber_jax.search.mining import MARGINS, mutual_best
from amber_jax.storage import location

_DIGEST_BYTES = 16  # 10^9 sentences hold two of one digest at odds of 10^-21

SEARCH_RANGES = {
    "margin": Choice(tuple(MARGINS)),
    "neighbors": whole(1, 10_000),
    "threshold": real(-1e9, 1e9),
}

Note = Callable[[str], None]


class Search(NamedTuple):
    """The pairs to find, see `search.mining.mutual_best`."""

    margin: str = "ratio"
    neighbors: int = 4
    threshold: float | None = None


class _Side(NamedTuple):
    vectors: np.ndarray  # [N, D] float32, a memory map
    texts: Path  # the N different sentences, one a line
    starts: array  # [N] byte offset of each of them in `texts`


def mine_files(
    checkpoint: Path,
    src: str,
    tgt: str,
    output: str,
    *,
    search: Search,
    layer: int | None = None,
    pooling: str | None = None,
    prompt: str | None = None,
    dtype: str | None = None,
    note: Note,
) -> None:
    r"""Writes the sentences that are each other's best, as `score\tsource\ttarget`.

    Lines fall by score. A sentence that stands in a file several times is mined once.
    Vectors lie on disk beside the output while they are needed, 4 x D bytes each; in
    memory stay about 150 bytes a sentence. After a kill the same command computes those
    that are missing.

    Args:
        checkpoint: as `inference.loading.load_model` takes it.
        src: path of a file with one sentence a line, plain, .gz, .bz2, .xz or .zst, or
            `line_files.STANDARD` for stdin.
        tgt: the same in another language.
        output: path of the .tsv, which appears when complete, or the same for stdout.
        search: which pairs.
        layer: as of `inference.model.Model.encode`, as are the next two.
        pooling: of the layer's vectors.
        prompt: before every sentence.
        dtype: of activations, as of `amber_jax.load`.
        note: called with sentences worth telling.

    Raises:
        UserError: the model, an option or a file cannot be used.
    """
    _check(search)
    if src == tgt == STANDARD:
        raise UserError(
            f"--src and --tgt are both {STANDARD}, but stdin is read once; "
            "wanted the path of a file for one of them"
        )
    model = load(checkpoint, dtype=dtype)
    note(str(model))
    vector = model.vector_with(layer=layer, pooling=pooling)
    with _scratch(output) as scratch:
        folder = Path(scratch)
        sides = [
            _embed(model, source, folder / name, vector, prompt, note=note)
            for name, source in (("src", src), ("tgt", tgt))
        ]
        counts = [len(side.vectors) for side in sides]
        note(f"comparing {counts[0]:,} x {counts[1]:,} sentences")
        mined = mutual_best(
            *(side.vectors for side in sides),
            **search._asdict(),
            striped=model.config.kernels.scores == "striped",
        )
        pairs = zip(mined.scores, *_texts(sides, mined.src, mined.tgt), strict=True)
        with _pairs_file(output, folder) as file:
            for score, x, y in pairs:
                file.write(f"{score:.6f}\t{x}\t{y}\n".encode())
    least = "" if search.threshold is None else f" with at least {search.threshold:g}"
    note(f"{len(mined.scores):,} pairs{least} -> {output}")


def _check(search: Search) -> None:
    out_of_range = [
        problem
        for name, allowed in SEARCH_RANGES.items()
        if (value := getattr(search, name)) is not None
        for problem in problems(value, allowed, f"--{name}")
    ]
    refuse("mine", out_of_range)


def _scratch(output: str) -> contextlib.AbstractContextManager[Any]:
    """Gives a folder for vectors; beside a file, one that survives a kill."""
    if output == STANDARD:
        return tempfile.TemporaryDirectory(dir=".", prefix=".mine-")
    return resumed_file(location(output))


@contextlib.contextmanager
def _pairs_file(output: str, folder: Path) -> Iterator[BinaryIO]:
    """Opens stdout, or a file in `folder` that takes the name `output` at the end."""
    if output == STANDARD:
        yield sys.stdout.buffer
        return
    pairs = folder / "pairs.tsv"
    with pairs.open("wb") as file:
        yield file
    publish_file(pairs, location(output))


def _embed(
    model: Model,
    source: str,
    stem: Path,
    vector: SentenceVector,
    prompt: str | None,
    *,
    note: Note,
) -> _Side:
    """Writes a side's sentences and vectors to `stem`.txt and `stem`.npy."""
    texts, vectors = stem.with_suffix(".txt"), stem.with_suffix(".npy")
    title = title_of(source)
    rejects: dict[str, int] = {}
    starts = array("q")
    usable = (text for text in clean_lines(source, rejects) if text is not None)
    with texts.open("wb") as text_file:
        distinct = _distinct(usable, text_file, starts)
        written = write_vectors(
            model, distinct, vectors, vector, prompt=prompt, title=title
        )
    if not starts:
        raise UserError(
            f"{title}: has no usable line ({counted(rejects)}); wanted one sentence "
            "a line"
        )
    note(
        f"{title}: {len(starts):,} different sentences; unusable lines: "
        f"{counted(rejects)}"
    )
    for sentence in model.encoding_warnings(written.empty, written.cut):
        note(f"{title}: {sentence}")
    return _Side(np.load(vectors, mmap_mode="r"), texts, starts)


def _distinct(sentences: Iterable[str], file: BinaryIO, starts: array) -> Iterator[str]:
    """Yields every sentence once; writes it to `file` and its offset to `starts`."""
    seen: set[bytes] = set()
    start = 0
    for sentence in sentences:
        line = f"{sentence}\n".encode()
        digest = hashlib.blake2b(line, digest_size=_DIGEST_BYTES).digest()
        if digest not in seen:
            seen.add(digest)
            starts.append(start)
            start += file.write(line)
            yield sentence


def _texts(
    sides: Iterable[_Side], *rows_of_sides: np.ndarray
) -> Iterator[Iterator[str]]:
    for side, rows in zip(sides, rows_of_sides, strict=True):
        yield _read(side, rows)


def _read(side: _Side, rows: np.ndarray) -> Iterator[str]:
    with side.texts.open("rb") as file:
        for row in rows:
            file.seek(side.starts[row])
            yield file.readline().decode().rstrip("\n")
