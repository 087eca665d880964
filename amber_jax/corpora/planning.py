"""From sources to units of work: unpack, count lines, cut, share out."""

import dataclasses
import itertools
from array import array
from collections import Counter
from collections.abc import Sequence
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
from amber_jax.corpora.text import is_packed, read_lines
from amber_jax.corpora.unit_rows import BuildOptions
from amber_jax.corpora.units import StreamKey, Unit, cut_units, sampled, unit_number
from amber_jax.corpora.work import Share, WorkFolder, read_record
from amber_jax.errors import UserError
from amber_jax.files import write_bytes, write_json


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
        size = sum(unit.size for unit in self.units)
        return sum(unit.size for unit in self.samples) / size if size else 1.0


@dataclass(frozen=True)
class _ReadJob:
    source: Source
    path: Path
    stem: Path  # of the unpacked copy, the blocks and the record

    @property
    def name(self) -> str:
        """Of the record."""
        return f"inputs/{self.stem.name}"

    @property
    def copy(self) -> Path:
        """The unpacked text."""
        return self.stem.with_suffix(".txt")


def plan_inputs(
    sources: Sequence[Source],
    *,
    options: BuildOptions,
    work: WorkFolder,
    share: Share,
    mapper: Mapper,
    report: Report,
) -> list[Input]:
    """Returns the sources of a share cut into units.

    Args:
        sources: what to build from.
        options: the size of units, and whether sides of pairs serve as text.
        work: for the unpacked copies of inputs that cannot be seeked in. Files that
            were read before are not read again.
        share: of the whole work; of sources that can be seeked in every task gets
            all units, see `own_units`.
        mapper: runs the reading of the files.
        report: see `processes.reported`.

    Raises:
        UserError: an input cannot be read, or its parts do not match.
    """
    owners = _owners(sources, share.count)
    own = [n for n, owner in enumerate(owners) if owner in (None, share.index)]
    numbers = itertools.count()
    files = [
        [
            _ReadJob(part, path, work.directory / "inputs" / str(next(numbers)))
            for part, path in _readings(source)
        ]
        for source in sources
    ]
    jobs = [job for n in own for job in files[n]]
    waiting = [job for job in jobs if not work.record(job.name)]
    sizes = [job.path.stat().st_size for job in waiting]
    before = sum(job.path.stat().st_size for job in jobs) - sum(sizes)
    for _ in reported("read", mapper(_read, waiting), sizes, report, before):
        pass
    return [_cut(n, sources[n], *_files_of(files[n], work), options) for n in own]


def own_units(inputs: Sequence[Input], share: Share) -> list[Unit]:
    """Returns the units of a share, in order; of its own sources all.

    Args:
        inputs: as `plan_inputs` returned them for the same share.
        share: of the whole work.
    """
    return [
        unit
        for source in inputs
        for unit in source.units
        if not _is_seekable(source.source)
        or (unit.source + unit.place) % share.count == share.index
    ]


def _owners(sources: Sequence[Source], count: int) -> list[int | None]:
    """Returns which of `count` tasks has each source; None: all have some units.

    The largest first, each to the task that has least.
    """
    sizes = [
        sum(path.stat().st_size for path in source_files(source)) for source in sources
    ]
    owners: list[int | None] = [None] * len(sources)
    loads = [0] * count
    for number in sorted(range(len(sources)), key=lambda n: -sizes[n]):
        if not _is_seekable(sources[number]):
            owner = owners[number] = loads.index(min(loads))
            loads[owner] += sizes[number]
    return owners


def _is_seekable(source: Source) -> bool:
    """Returns whether units can be read from the files of a source as they are."""
    return not isinstance(source, Converted) and not any(
        map(is_packed, source_files(source))
    )


def _readings(source: Source) -> list[tuple[Source, Path]]:
    """Returns what is read on its own: parts of a converted source, or files."""
    if isinstance(source, Converted):
        return [(part, part.path) for part in source.parts()]
    return [(source, path) for path in source_files(source)]


def _cut(
    number: int,
    source: Source,
    files: Sequence[PlainFile],
    conversion: Conversion,
    options: BuildOptions,
) -> Input:
    columns = source_columns(source)
    pairs = source_pairs(source, columns)
    if isinstance(source, MosesSource):
        _check_line_counts(source, files)
    if isinstance(source, ManyWaySource):
        files = [_without_header(files[0], source.path)]
    tables = [[file] for file in files] if isinstance(source, Converted) else [files]
    cuts = [
        (table, slices)
        for table in tables
        for slices in cut_units(table, unit_bytes=options.unit_bytes)
    ]
    units = tuple(
        Unit(unit_number(number, place), slices, columns, pairs)
        for place, (_, slices) in enumerate(cuts)
    )
    samples = [
        dataclasses.replace(unit, slices=sampled(table, unit.slices))
        for unit, (table, _) in zip(units, cuts, strict=True)
    ]
    streams = [("pair", f"{src}-{tgt}") for src, tgt in pairs]
    if not pairs or options.parallel_as_text:
        languages = itertools.chain(*pairs) if pairs else columns
        streams += [("mono", language) for language in dict.fromkeys(languages)]
    lines = sum(table[0].lines for table in tables) + conversion.left_out.total()
    return Input(source, lines, units, tuple(samples), tuple(streams), conversion)


def _check_line_counts(source: MosesSource, files: Sequence[PlainFile]) -> None:
    src, tgt = files
    if src.lines != tgt.lines:
        raise UserError(
            f"{source.src_path} has {src.lines} lines but {source.tgt_path} has "
            f"{tgt.lines}; line i must translate line i, so repair the files"
        )


def _without_header(file: PlainFile, path: Path) -> PlainFile:
    # Of the source itself: its copy may have gone, when its units are done.
    header_end = min(len(next(read_lines(path))) + 1, file.blocks[-1])
    blocks = array("q", [header_end]) + file.blocks[1:]
    return dataclasses.replace(file, lines=file.lines - 1, blocks=blocks)


def _read(job: _ReadJob) -> None:
    """Reads a file, and unpacks or converts it; writes the record last."""
    copy, conversion = job.copy, Conversion()
    if isinstance(job.source, Converted):
        file, conversion = plain_rows(job.source, copy)
    else:
        file = plain_file(job.path, copy)
    write_bytes(job.stem.with_suffix(".blocks"), file.blocks.tobytes())
    record = {
        "copied": file.path == copy,
        "lines": file.lines,
        "conversion": vars(conversion) | {"languages": sorted(conversion.languages)},
    }
    write_json(job.stem.with_suffix(".json"), record)


def _files_of(
    jobs: Sequence[_ReadJob], work: WorkFolder
) -> tuple[list[PlainFile], Conversion]:
    files, conversions = zip(*(_was_read(job, work) for job in jobs), strict=True)
    return [*files], joined(conversions)


def _was_read(job: _ReadJob, work: WorkFolder) -> tuple[PlainFile, Conversion]:
    """Returns what `_read` has written, perhaps in a task's folder."""
    path = work.existing(job.name)
    record = read_record(path)
    blocks = array("q", path.with_suffix(".blocks").read_bytes())
    conversion = record["conversion"]
    source = path.with_suffix(".txt") if record["copied"] else job.path
    return PlainFile(source, record["lines"], blocks), Conversion(
        **conversion
        | {"left_out": Counter(conversion["left_out"])}
        | {"languages": set(conversion["languages"])}
    )
