"""From sources to units of work: unpack, count lines, cut."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from amber_jax.corpora.plain import PlainFile, plain_file, plain_tmx
from amber_jax.corpora.processes import Mapper, Report, reported
from amber_jax.corpora.sources import (
    ManyWaySource,
    MosesSource,
    Source,
    TmxSource,
    source_columns,
    source_files,
    source_pairs,
)
from amber_jax.corpora.text import read_lines
from amber_jax.corpora.units import Unit, cut_units
from amber_jax.errors import UserError


def plan_units(
    sources: Sequence[Source],
    *,
    unit_bytes: int,
    directory: Path,
    mapper: Mapper,
    report: Report,
) -> list[Unit]:
    """Returns the units of all sources, in their order.

    Args:
        sources: what to build from.
        unit_bytes: input bytes of a unit.
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
    units: list[Unit] = []
    for source in sources:
        files = [next(plain) for _ in source_files(source)]
        units += _source_units(source, files, unit_bytes, len(units))
    list(plain)
    return units


def _source_units(
    source: Source, files: list[PlainFile], unit_bytes: int, first: int
) -> list[Unit]:
    columns = source_columns(source)
    pairs = source_pairs(source, columns)
    if isinstance(source, MosesSource):
        _check_line_counts(source, files)
    if isinstance(source, ManyWaySource):
        files = [_without_header(files[0])]
    slices = cut_units(files, unit_bytes=unit_bytes)
    return [
        Unit(number, part, columns, pairs) for number, part in enumerate(slices, first)
    ]


def _check_line_counts(source: MosesSource, files: list[PlainFile]) -> None:
    src, tgt = files
    if src.lines != tgt.lines:
        raise UserError(
            f"{source.src_path} has {src.lines} lines but {source.tgt_path} has "
            f"{tgt.lines}; line i must translate line i, so repair the files"
        )


def _without_header(file: PlainFile) -> PlainFile:
    header_end = min(len(next(read_lines(file.path))) + 1, file.blocks[-1])
    return dataclasses.replace(file, blocks=(header_end, *file.blocks[1:]))


def _run_plain(job: tuple[Source, Path, Path]) -> PlainFile:
    source, path, copy = job
    if isinstance(source, TmxSource):
        return plain_tmx(source, copy)
    return plain_file(path, copy)
