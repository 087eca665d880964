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
from amber_jax.corpora.records import shard_name, write_shard
from amber_jax.corpora.sampling import smoothed_rates
from amber_jax.corpora.units import BuildOptions, Part, StreamKey
from amber_jax.files import writing
from amber_jax.tokenization.tokenizer import SpecialTokens

Facts = dict[str, Any]


@dataclass(frozen=True)
class StoredPart:
    """A unit's `Part` of a stream with its rows on disk."""

    file: Path  # the rows, then the rows left to be packed anew
    rows: int
    inputs: int
    rejects: Counter[str]


def store_part(part: Part, file: Path) -> StoredPart:
    """Writes the rows of a part to `file` (.npy) and returns the rest."""
    with writing(file):
        np.save(file, np.concatenate([part.rows, part.left]))
    return StoredPart(file, len(part.rows), part.inputs, part.rejects)


def write_stream(
    key: StreamKey,
    parts: Sequence[StoredPart],
    options: BuildOptions,
    *,
    special: SpecialTokens,
    directory: Path,
) -> Facts:
    """Writes the shards of a stream, parts in the order given; returns its facts.

    Rows that do not fill the last shard are dropped and counted. A stream of fewer
    rows than a shard has gets one short shard, in which row i still stands at place i.
    """
    repacked = list(_repacked(parts, options, special))
    rows = sum(part.rows for part in parts) + sum(map(len, repacked))
    per_shard = min(options.rows_per_shard, rows) or options.rows_per_shard
    count = rows // per_shard
    shards, total, dropped = [], Counter(), Counter()
    tables = itertools.chain(map(_rows, parts), repacked)
    for rows in _rebatch(tables, per_shard):
        if len(rows) < per_shard:
            dropped = _measure(rows, options.row_length)
            continue
        name = shard_name(*key, len(shards), count)
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shards.append({**write_shard(directory / name, rows), "file": name})
        facts = _measure(rows, options.row_length)
        largest = max(total.pop("max_token_id", 0), facts.pop("max_token_id"))
        total.update({**facts, "max_token_id": largest})
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


def _rows(part: StoredPart) -> np.ndarray:
    return np.load(part.file, mmap_mode="r")[: part.rows]


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
