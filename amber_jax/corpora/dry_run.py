"""What a build will give and cost, from the beginning of each source."""

import dataclasses
import itertools
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from amber_jax.corpora.accounts import Tallies, Tally, all_rejects, summed, tally
from amber_jax.corpora.conversion import Conversion
from amber_jax.corpora.engine import Build, begin_build
from amber_jax.corpora.examples import example, first_lines, line_offsets
from amber_jax.corpora.parts import UnitJob, processed
from amber_jax.corpora.plain import Slice
from amber_jax.corpora.processes import Report, mapper, reported
from amber_jax.corpora.recipe import Recipe, check_options, check_sources
from amber_jax.corpora.sources import (
    Converted,
    ManyWaySource,
    Source,
    source_columns,
    source_files,
    source_name,
    source_pairs,
)
from amber_jax.corpora.text import is_packed, read_chunks, split_lines, text_only
from amber_jax.corpora.units import StreamKey, Unit, unit_number
from amber_jax.corpora.work import FOLDERS, WorkFolder
from amber_jax.files import make_folder
from amber_jax.tokenization import load_tokenizer

_SAMPLED_BYTES = 1 << 25  # of text that is processed, of all sources
_OF_SOURCE = (1 << 14, 1 << 20)  # the least and the most of one
_READ_BYTES = 1 << 22  # of a converted source, to know how much text a file holds
_ROWS = 512  # processed together
_EXAMPLES = 3  # of a reason, from one source

Rows = list[tuple[bytes, ...]]  # the lines of a source, one of each of its files


@dataclass(frozen=True)
class SourceEstimate:
    """What one source holds, as far as its beginning tells."""

    name: str
    text_bytes: float  # of lines of text, as they are processed
    documents: float  # of running text; 0 of pairs
    tallies: Tallies  # of the sample
    share: float  # of the text that the sample holds
    read_seconds: float  # of CPU, for all of it
    process_seconds: float
    is_copied: bool  # whether its text is unpacked beside the corpus
    examples: dict[str, list[str]]  # of each reason


@dataclass(frozen=True)
class Estimate:
    """What a build will give and cost."""

    sources: tuple[SourceEstimate, ...]
    row_length: int  # tokens
    max_pairs: int

    @property
    def tokens(self) -> dict[StreamKey, float]:
        """Tokens of each stream."""
        return self._scaled(lambda counts: counts.tokens)

    @property
    def lines(self) -> dict[StreamKey, float]:
        """Lines and pairs that each stream is made of, rejected ones included."""
        return self._scaled(lambda counts: counts.inputs)

    @property
    def rejects(self) -> dict[str, float]:
        """How many lines and pairs are rejected, by reason."""
        total: Counter[str] = Counter()
        for source in self.sources:
            for counts in source.tallies.values():
                for reason, count in counts.rejects.items():
                    total[reason] += count / source.share
        return dict(total.most_common())

    @property
    def seconds(self) -> float:
        """CPU time of the whole build."""
        return sum(s.read_seconds + s.process_seconds for s in self.sources)

    @property
    def corpus_bytes(self) -> float:
        """Size of the shards; rows count as full of tokens or of pairs."""
        pairs = self._scaled(lambda counts: counts.pairs)
        rows = sum(
            max(tokens / self.row_length, pairs[key] / self.max_pairs)
            for key, tokens in self.tokens.items()
        )
        return rows * 4 * (self.row_length + 2 * self.max_pairs)

    @property
    def scratch_bytes(self) -> float:
        """What is on disk at once besides the sources while the shards are written."""
        copies = sum(source.text_bytes for source in self.sources if source.is_copied)
        return max(copies, self.corpus_bytes) + self.corpus_bytes

    def _scaled(self, count: Callable[[Tally], int]) -> dict[StreamKey, float]:
        total: Counter[StreamKey] = Counter()
        for source in self.sources:
            for key, counts in source.tallies.items():
                total[key] += count(counts) / source.share
        return dict(sorted(total.items()))


@dataclass(frozen=True)
class _SampleJob:
    source: Source
    unit: UnitJob  # with no slices yet
    limit: int  # bytes of text
    folder: Path


def dry_run(recipe: Recipe, *, processes: int, report: Report) -> Estimate:
    """Returns what a build of a recipe will give and cost; nothing stays on disk.

    Args:
        recipe: as of `build.build_corpus`.
        processes: workers; 0 takes one for each core.
        report: called with (stage, done, total) as work proceeds.

    Raises:
        UserError: an input cannot be used.
    """
    check_options(recipe.options, processes)
    check_sources(recipe.sources)
    tokenizer = load_tokenizer(recipe.tokenizer)
    check_options(recipe.options, processes, tokenizer.special.separators)
    least, most = _OF_SOURCE
    limit = min(most, max(least, _SAMPLED_BYTES // len(recipe.sources)))
    with tempfile.TemporaryDirectory() as folder, mapper(processes) as run:
        work = WorkFolder(Path(folder))
        for name in FOLDERS:
            make_folder(work.directory / name)
        build = begin_build(recipe, tokenizer, work, run, report, print)
        jobs = [
            _SampleJob(source, _job(build, number, source), limit, work.directory)
            for number, source in enumerate(recipe.sources)
        ]
        results = reported("sample", run(_estimate, jobs), [limit] * len(jobs), report)
        estimates = tuple(results)
    options = recipe.options
    return Estimate(estimates, options.row_length, options.max_pairs)


def _job(build: Build, number: int, source: Source) -> UnitJob:
    columns = source_columns(source)
    pairs = source_pairs(source, columns)
    return build.job(Unit(unit_number(number, 0), (), columns, pairs))


def _estimate(job: _SampleJob) -> SourceEstimate:
    began = time.process_time()
    begun, text_bytes, read_share = _beginning(job.source)
    read_seconds = time.process_time() - began
    rows = _up_to(begun, job.limit)
    share = read_share * _size(rows) / (_size(begun) or 1) or 1.0
    tallies, examples, seconds = _processed(job.unit, job.folder, rows)
    ends = sum(not any(row) for row in rows)
    return SourceEstimate(
        source_name(job.source),
        text_bytes,
        (ends + 1) / share if rows and not job.unit.unit.pairs else 0,
        tallies,
        share,
        read_seconds / read_share,
        seconds / share,
        _is_copied(job.source),
        examples,
    )


def _beginning(source: Source) -> tuple[Rows, float, float]:
    """Returns the first rows of a source, and the bytes of text that all of it holds.

    The third is the share of them that was read.
    """
    if isinstance(source, Converted):
        lines, total, read = _converted(source)
        return [(line,) for line in lines], total, read / total if total else 1.0
    sides, totals, reads = zip(*map(_lines, source_files(source)), strict=True)
    rows = list(zip(*sides, strict=False))[isinstance(source, ManyWaySource) :]
    total = sum(totals)
    return rows, total, sum(reads) / total if total else 1.0


def _lines(path: Path) -> tuple[list[bytes], float, float]:
    """Returns whole lines of a file's first MiB, and the bytes of all of its text."""
    chunks = text_only(path, read_chunks(path))
    text = next(chunks, b"")
    consumed, size = _consumed(path), path.stat().st_size
    lines = list(split_lines([text]))
    following = next(chunks, b"")
    if not following:
        return lines, len(text), len(text)
    total = size * len(text) / consumed if is_packed(path) and consumed else size
    return lines[:-1] or lines, total, len(text)


def _converted(source: Converted) -> tuple[list[bytes], float, float]:
    """Returns the same of a source that is no text."""
    path, lines, read = source_files(source)[0], [], 0
    rows = source.rows(Conversion())
    for row in rows:
        lines.append("\t".join(row).encode("utf-8", "replace"))
        read += len(lines[-1]) + 1
        if read >= _READ_BYTES:
            break
    consumed, size = _consumed(path), path.stat().st_size
    is_whole = next(rows, None) is None
    if is_whole:
        return lines, read, read
    return lines, read * size / consumed if consumed else max(read, size), read


def _consumed(path: Path) -> int:
    """Returns how many bytes of an open file have been read; 0 if nobody knows.

    Whatever unpacks or parses it: the system knows where each descriptor stands.
    """
    wanted, most = os.path.realpath(path), 0
    descriptors = Path("/proc/self/fd")
    for entry in descriptors.iterdir() if descriptors.is_dir() else ():
        try:
            if os.path.realpath(entry) == wanted:
                facts = Path(f"/proc/self/fdinfo/{entry.name}").read_text()
                most = max(most, int(facts.split()[1]))
        except OSError:  # closed meanwhile
            continue
    return most


def _up_to(rows: Rows, limit: int) -> Rows:
    sizes = itertools.accumulate(map(_row_size, rows))
    return [row for row, size in zip(rows, sizes, strict=True) if size <= limit] or (
        rows[:1]
    )


def _size(rows: Rows) -> int:
    return sum(map(_row_size, rows))


def _row_size(row: Sequence[bytes]) -> int:
    return sum(len(line) + 1 for line in row)


def _is_copied(source: Source) -> bool:
    return isinstance(source, Converted) or any(map(is_packed, source_files(source)))


def _processed(
    job: UnitJob, folder: Path, rows: Rows
) -> tuple[Tallies, dict[str, list[str]], float]:
    """Returns what rows add to each stream, some that are rejected, and CPU seconds."""
    processed(job)  # loads the tokenizer
    unit = dataclasses.replace(job.unit, slices=_written(rows, folder / job.unit.name))
    offsets = line_offsets(unit, len(rows))

    def tallied(unit: Unit) -> Tallies:
        parts = processed(dataclasses.replace(job, unit=unit))
        length = job.options.row_length
        return {key: tally(part, length) for key, part in parts.items()}

    def rejects(unit: Unit) -> Counter[str]:
        return all_rejects(tallied(unit))

    examples: dict[str, list[str]] = defaultdict(list)
    tallies, seconds = [], 0.0
    lines = len(offsets[0]) - 1 if offsets else 0
    for begin in range(0, lines, _ROWS):
        end = min(begin + _ROWS, lines)
        began = time.process_time()
        tallies.append(tallied(first_lines(unit, offsets, begin, end)))
        seconds += time.process_time() - began
        for reason in all_rejects(tallies[-1]):
            if len(examples[reason]) < _EXAMPLES:
                line = example(unit, offsets, begin, end, reason, rejects)
                examples[reason].append(line)
    return summed(tallies), dict(examples), seconds


def _written(rows: Rows, stem: Path) -> tuple[Slice, ...]:
    """Returns the columns of rows as files."""
    slices = []
    for number, lines in enumerate(zip(*rows, strict=True)):
        path = stem.with_name(f"{stem.name}-{number}.txt")
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        slices.append(Slice(path, 0, path.stat().st_size))
    return tuple(slices)
