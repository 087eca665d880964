"""From sources to units of work: unpack, count lines, cut."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
from amber_jax.corpora.tmx import TmxFacts
from amber_jax.corpora.units import BuildOptions, StreamKey, Unit, cut_units, sampled
from amber_jax.errors import UserError


@dataclass(frozen=True)
class Input:
    """A source whose files have been read once and cut."""

    source: Source
    lines: int  # of each file, below a header; translation units of a memory
    units: tuple[Unit, ...]
    samples: tuple[Unit, ...]  # the first lines of each unit
    streams: tuple[StreamKey, ...]  # that it may add to
    memory: TmxFacts = field(default_factory=TmxFacts)  # of a translation memory

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
    jobs = [(source, path) for source in sources for path in source_files(source)]
    numbered = [
        (source, path, directory / f"{number}.txt")
        for number, (source, path) in enumerate(jobs)
    ]
    plain = reported("read", mapper(_run_plain, numbered), len(jobs), report)
    numbers = itertools.count()
    inputs = []
    for source in sources:
        files, (memory, *_) = zip(
            *(next(plain) for _ in source_files(source)), strict=True
        )
        inputs.append(_cut(source, files, memory, options, numbers))
    list(plain)
    return inputs


def languages_of(inputs: Iterable[Input]) -> tuple[str, ...]:
    """Returns the languages of which inputs have text that is used, sorted."""
    names = {
        name
        for source in inputs
        for unit in source.units
        for name in (itertools.chain(*unit.pairs) if unit.pairs else unit.columns)
    }
    return tuple(sorted(names))


def _cut(
    source: Source,
    files: Sequence[PlainFile],
    memory: TmxFacts,
    options: BuildOptions,
    numbers: Iterable[int],
) -> Input:
    columns = source_columns(source)
    pairs = source_pairs(source, columns)
    if isinstance(source, MosesSource):
        _check_line_counts(source, files)
    if isinstance(source, ManyWaySource):
        files = [_without_header(files[0])]
    units = tuple(
        Unit(number, slices, columns, pairs)
        for slices, number in zip(
            cut_units(files, unit_bytes=options.unit_bytes), numbers, strict=False
        )
    )
    samples = [
        dataclasses.replace(unit, slices=sampled(files, unit.slices)) for unit in units
    ]
    streams = [("pair", f"{src}-{tgt}") for src, tgt in pairs]
    if not pairs or options.parallel_as_text:
        languages = itertools.chain(*pairs) if pairs else columns
        streams += [("mono", language) for language in dict.fromkeys(languages)]
    lines = files[0].lines + memory.not_xml
    return Input(source, lines, units, tuple(samples), tuple(streams), memory)


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


def _run_plain(job: tuple[Source, Path, Path]) -> tuple[PlainFile, TmxFacts]:
    source, path, copy = job
    if isinstance(source, Converted):
        return plain_rows(source, copy)
    return plain_file(path, copy), TmxFacts()
