"""From sources to units of work: unpack, count lines, cut."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from amber_jax.corpora.conversion import Conversion, joined
from amber_jax.corpora.plain import PlainFile, plain_file, plain_rows
from amber_jax.corpora.processes import Mapper, Report, reported
from amber_jax.corpora.sources import (
    Converted,
    ManyWaySource,
    MosesSource,
    Source,
    source_columns,
    source_files,
    source_pairs,
)
from amber_jax.corpora.text import read_lines
from amber_jax.corpora.units import BuildOptions, StreamKey, Unit, cut_units, sampled
from amber_jax.errors import UserError


@dataclass(frozen=True)
class Input:
    """A source whose files have been read once and cut."""

    source: Source
    lines: int  # of each file, below a header, and what its conversion left out
    units: tuple[Unit, ...]
    samples: tuple[Unit, ...]  # the first lines of each unit
    streams: tuple[StreamKey, ...]  # that it may add to
    conversion: Conversion = field(default_factory=Conversion)

    @property
    def sampled_share(self) -> float:
        """The share of its bytes that the samples hold, 1 if there are none."""
        return _size(self.samples) / size if (size := _size(self.units)) else 1.0


def plan_inputs(
    sources: Sequence[Source],
    *,
    options: BuildOptions,
    directory: Path,
    mapper: Mapper,
    report: Report,
) -> list[Input]:
    """Returns all sources cut into units, whose numbers go on from source to source.

    Args:
        sources: what to build from.
        options: the size of units, and whether sides of pairs serve as text.
        directory: for the unpacked copies of inputs that cannot be seeked in.
        mapper: runs the reading of the files.
        report: see `processes.reported`.

    Raises:
        UserError: an input cannot be read, or its parts do not match.
    """
    readings = [_readings(source) for source in sources]
    jobs = list(itertools.chain(*readings))
    numbered = [
        (source, path, directory / f"{number}.txt")
        for number, (source, path) in enumerate(jobs)
    ]
    plain = reported("read", mapper(_run_plain, numbered), len(jobs), report)
    numbers = itertools.count()
    inputs = []
    for source, of_source in zip(sources, readings, strict=True):
        files, facts = zip(*itertools.islice(plain, len(of_source)), strict=True)
        inputs.append(_cut(source, files, joined(facts), options, numbers))
    list(plain)
    return inputs


def _readings(source: Source) -> list[tuple[Source, Path]]:
    """Returns what is read on its own: parts of a converted source, or files."""
    if isinstance(source, Converted):
        return [(part, part.path) for part in source.parts()]
    return [(source, path) for path in source_files(source)]


def _cut(
    source: Source,
    files: Sequence[PlainFile],
    facts: Conversion,
    options: BuildOptions,
    numbers: Iterator[int],
) -> Input:
    columns = source_columns(source)
    pairs = source_pairs(source, columns)
    if isinstance(source, MosesSource):
        _check_line_counts(source, files)
    if isinstance(source, ManyWaySource):
        files = [_without_header(files[0])]
    tables = [[file] for file in files] if isinstance(source, Converted) else [files]
    units, samples = [], []
    for table in tables:
        for slices in cut_units(table, unit_bytes=options.unit_bytes):
            units.append(Unit(next(numbers), slices, columns, pairs))
            sample = sampled(table, slices)
            samples.append(dataclasses.replace(units[-1], slices=sample))
    streams = [("pair", f"{src}-{tgt}") for src, tgt in pairs]
    if not pairs or options.parallel_as_text:
        languages = itertools.chain(*pairs) if pairs else columns
        streams += [("mono", language) for language in dict.fromkeys(languages)]
    lines = sum(table[0].lines for table in tables) + facts.left_out.total()
    return Input(source, lines, tuple(units), tuple(samples), tuple(streams), facts)


def _check_line_counts(source: MosesSource, files: Sequence[PlainFile]) -> None:
    src, tgt = files
    if src.lines != tgt.lines:
        raise UserError(
            f"{source.src_path} has {src.lines} lines but {source.tgt_path} has "
            f"{tgt.lines}; line i must translate line i, so repair the files"
        )


def _without_header(file: PlainFile) -> PlainFile:
    header_end = min(len(next(read_lines(file.path))) + 1, file.blocks[-1])
    blocks = (header_end, *file.blocks[1:])
    return dataclasses.replace(file, lines=file.lines - 1, blocks=blocks)


def _size(units: Iterable[Unit]) -> int:
    return sum(part.end - part.start for unit in units for part in unit.slices)


def _run_plain(job: tuple[Source, Path, Path]) -> tuple[PlainFile, Conversion]:
    source, path, copy = job
    if isinstance(source, Converted):
        return plain_rows(source, copy)
    return plain_file(path, copy), Conversion()
