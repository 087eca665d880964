"""The parts that units add to a stream, put together: equal shards and their facts."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amber_jax.corpora.packing import (
    WINDOW,
    Pair,
    best_fit,
    lay_out,
    pack,
    taken_apart,
)
from amber_jax.corpora.parts import StoredPart
from amber_jax.corpora.records import shard_name, write_shard
from amber_jax.corpora.sampling import smoothed_rates
from amber_jax.corpora.unit_rows import BuildOptions
from amber_jax.corpora.units import StreamKey
from amber_jax.corpora.work import read_record
from amber_jax.files import new_file, write_json
from amber_jax.tokenization.tokenizer import SpecialTokens

Facts = dict[str, Any]


_JOB_BYTES = 1 << 26  # of rows that are written before the next record


@dataclass(frozen=True)
class PackJob:
    """All that a worker needs to pack what the units of a stream left over."""

    key: StreamKey
    parts: tuple[StoredPart, ...]
    options: BuildOptions
    special: SpecialTokens
    directory: Path  # for the rows

    @property
    def size(self) -> int:
        """Bytes of rows."""
        return sum(part.left for part in self.parts) * _row_bytes(self.options)


@dataclass(frozen=True)
class ShardJob:
    """All that a worker needs to write some shards of a stream."""

    key: StreamKey
    tables: tuple[tuple[Path, int, int], ...]  # the rows [begin, end) of each file
    first: int  # number of the first shard
    count: int  # shards of the stream
    per_shard: int  # rows
    options: BuildOptions
    corpus: Path
    record: Path

    @property
    def size(self) -> int:
        """Bytes of rows."""
        rows = sum(end - begin for _, begin, end in self.tables)
        return rows * _row_bytes(self.options)


def pack_left(job: PackJob) -> None:
    """Packs what the parts of a stream left over; the record names the files."""
    name = "-".join(job.key)
    tables = []
    for number, rows in enumerate(_repacked(job.parts, job.options, job.special)):
        file = job.directory / f"{name}-left-{number}.npy"
        with new_file(file) as opened:
            np.save(opened, rows)
        tables.append([file.name, len(rows)])
    write_json(job.directory / f"{name}.json", tables)


def shard_jobs(
    key: StreamKey,
    parts: Sequence[StoredPart],
    packed: Path,
    options: BuildOptions,
    *,
    directory: Path,
    corpus: Path,
) -> list[ShardJob]:
    """Returns the writing of a stream, parts in the order given, cut into jobs.

    A stream of fewer rows than a shard has gets one short shard, in which row i still
    stands at place i.

    Args:
        key: of the stream.
        parts: of its units.
        packed: the record that `pack_left` wrote.
        options: the shape of rows and shards.
        directory: for the records of the jobs.
        corpus: for the shards.
    """
    tables = [(part.file, part.rows) for part in parts]
    tables += [(packed.with_name(name), rows) for name, rows in read_record(packed)]
    total = sum(rows for _, rows in tables)
    per_shard = min(options.rows_per_shard, total) or options.rows_per_shard
    count = total // per_shard
    shards = max(1, _JOB_BYTES // (_row_bytes(options) * per_shard))  # of a job
    return [
        ShardJob(
            key,
            # Rows that do not fill the last shard go to the last job.
            tuple(_cut(tables, first * per_shard, total if last else end * per_shard)),
            first,
            count,
            per_shard,
            options,
            corpus,
            directory / f"{'-'.join(key)}-{first}.json",
        )
        for first in range(0, max(count, 1), shards)
        for end in [first + shards]
        for last in [end >= count]
    ]


def write_shards(job: ShardJob) -> None:
    """Writes some shards of a stream, and what they hold as a record.

    Rows that do not fill the last shard are dropped and counted.
    """
    shards, total, dropped = [], Counter(), Counter()
    tables = (np.load(file, mmap_mode="r")[a:b] for file, a, b in job.tables)
    for number, rows in enumerate(_rebatch(tables, job.per_shard), job.first):
        if len(rows) < job.per_shard:
            dropped = _measure(rows, job.options.row_length)
            continue
        name = shard_name(*job.key, number, job.count)
        (job.corpus / name).parent.mkdir(parents=True, exist_ok=True)
        shards.append({**write_shard(job.corpus / name, rows), "file": name})
        total = _added(total, _measure(rows, job.options.row_length))
    write_json(job.record, {"shards": shards, "total": total, "dropped": dropped})


def stream_facts(parts: Sequence[StoredPart], jobs: Sequence[ShardJob]) -> Facts:
    """Returns what the manifest says of a stream, from the records of its jobs."""
    shards, total, dropped = [], Counter(), Counter()
    for job in jobs:
        record = read_record(job.record)
        shards += record["shards"]
        total = _added(total, record["total"])
        dropped = Counter(record["dropped"]) or dropped
    return _facts(parts, shards, total, dropped)


def with_rates(
    streams: Mapping[StreamKey, Facts], alpha: float
) -> dict[str, dict[str, Facts]]:
    """Returns kind -> name -> facts, each with its "rate" among its kind."""
    nested: dict[str, dict[str, Facts]] = {"mono": {}, "pair": {}}
    for (kind, name), facts in sorted(streams.items()):
        nested[kind][name] = facts
    for named in nested.values():
        tokens = {name: facts["real_tokens"] for name, facts in named.items()}
        for name, rate in smoothed_rates(tokens, alpha).items():
            named[name]["rate"] = rate
    return nested


def total_rejects(streams: Iterable[Facts]) -> dict[str, int]:
    """Returns how many lines and pairs were rejected for each reason."""
    total = Counter()
    for facts in streams:
        total.update(facts["rejects"])
    return dict(sorted(total.items()))


def _row_bytes(options: BuildOptions) -> int:
    return 4 * (options.row_length + 2 * options.max_pairs)


def _cut(
    tables: Iterable[tuple[Path, int]], begin: int, end: int
) -> Iterator[tuple[Path, int, int]]:
    """Yields where the rows [begin, end) of all tables lie in each."""
    before = 0
    for file, rows in tables:
        first, last = max(begin - before, 0), min(end - before, rows)
        if first < last:
            yield file, first, last
        before += rows


def _added(total: Counter[str], facts: Mapping[str, int]) -> Counter[str]:
    largest = max(total["max_token_id"], facts.get("max_token_id", 0))
    sums = {name: total[name] + count for name, count in facts.items()}
    return Counter(sums | {"max_token_id": largest})


def _left_pairs(
    parts: Sequence[StoredPart], row_length: int, separators: int
) -> Iterator[Pair]:
    for part in parts:
        left = np.load(part.file, mmap_mode="r")[part.rows :]
        yield from taken_apart(left, row_length=row_length, separators=separators)


def _repacked(
    parts: Sequence[StoredPart], options: BuildOptions, special: SpecialTokens
) -> Iterator[np.ndarray]:
    """Yields rows of what the parts left over, packed together."""
    shape = {"row_length": options.row_length, "max_pairs": options.max_pairs}
    separators = special.separators
    waiting = _left_pairs(parts, options.row_length, separators)
    left: list[Pair] = []
    while window := list(itertools.islice(waiting, WINDOW)):
        rows, left = pack(left + window, **shape, separators=separators)
        yield lay_out(rows, special, **shape)
    rows = best_fit(left, **shape, separators=separators)
    yield lay_out(rows, special, **shape)


def _rebatch(tables: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yields the rows of all tables, `size` at a time; the last may be fewer."""
    waiting: list[np.ndarray] = []
    count = 0
    for table in tables:
        start = 0
        while start < len(table):
            piece = table[start : start + size - count]
            waiting.append(piece)
            start, count = start + len(piece), count + len(piece)
            if count == size:
                yield np.concatenate(waiting)
                waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _measure(rows: np.ndarray, row_length: int) -> Counter[str]:
    spans = rows[:, row_length:]
    return Counter(
        rows=len(rows),
        pairs=int((spans[:, ::2] > 0).sum()),
        sentences=int((spans > 0).sum()),
        real_tokens=int(spans.sum()),
        max_token_id=int(rows[:, :row_length].max()),
    )


def _facts(
    parts: Sequence[StoredPart],
    shards: list[Facts],
    total: Counter[str],
    dropped: Counter[str],
) -> Facts:
    rejects = sum((part.rejects for part in parts), Counter())
    return {
        "shards": shards,
        **{name: total[name] for name in ("rows", "pairs", "real_tokens", "sentences")},
        "max_token_id": total["max_token_id"],
        "inputs": sum(part.inputs for part in parts),
        "rejects": dict(sorted(rejects.items())),
        "tail_rows_dropped": dropped["rows"],
        "tail_pairs_dropped": dropped["pairs"],
        "tail_sentences_dropped": dropped["sentences"],
    }
