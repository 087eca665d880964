"""How fast shards become batches and sentence pairs become rows, on one core.

python -m benchmarks.input_pipeline [--corpus=DIR]

Without a corpus it builds one from the sample text. Batches are those that training
gets, tf.data included; the pages of the shards are in memory after the first round.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from absl import flags

from amber_jax.commands import command_line
from amber_jax.corpora.packing import Pair, pack, spans, taken_apart
from amber_jax.corpora.records import Corpus, open_corpus, read_rows
from amber_jax.data.pipeline import BatchPlan, HostBatch, batches, rows_for_pairs
from amber_jax.errors import UserError
from benchmarks import sample, stopwatch, tables

LATE = 1_000_000  # a step

_ROWS = 20_000  # to serve in a round


def feeding(
    corpus: Corpus, pairs: list[int], *, rounds: int, rows: int
) -> list[tables.Row]:
    """Returns a row of figures for each kind of text and size of batch.

    Each serves about `rows` rows in a round.
    """
    plans = {
        f"{kind}, {wanted:,} pairs": BatchPlan(
            corpus,
            {kind: rows_for_pairs(corpus.streams[kind], wanted, multiple=8)},
            seed=0,
            stage=0,
        )
        for kind in corpus.streams
        if corpus.streams[kind]
        for wanted in pairs
    }
    steps = {
        name: max(2, rows // sum(plan.rows.values())) for name, plan in plans.items()
    }
    ways = {
        name: lambda plan=plan, stop=steps[name]: _drain(
            batches(plan, start=0, stop=stop)
        )
        for name, plan in plans.items()
    }
    late = {
        name: lambda plan=plan: next(batches(plan, start=LATE, stop=LATE + 100))
        for name, plan in plans.items()
    }
    seconds = stopwatch.interleaved(ways, rounds=rounds)
    restarts = stopwatch.interleaved(late, rounds=rounds)
    table = []
    for name, plan in plans.items():
        ((kind, rows_of_batch),) = plan.rows.items()
        served = list(batches(plan, start=0, stop=steps[name]))
        real = sum(int(batch[kind]["span_lengths"].sum()) for batch in served)
        table.append(
            {
                "batches": name,
                "streams": len(corpus.streams[kind]),
                "rows": rows_of_batch,
                "M real tokens/s": real / seconds[name].wall / 1e6,
                "M real tokens/CPU-s": real / seconds[name].cpu / 1e6,
                "ms a batch": 1e3 * seconds[name].wall / steps[name],
                f"ms to step {LATE:,}": 1e3 * restarts[name].wall,
                "the same from there": "yes" if restarts_alike(plan) else "NO",
            }
        )
    return table


def restarts_alike(plan: BatchPlan, *, steps: int = 4) -> bool:
    """Returns whether batches read from `LATE` on are those read from before it."""
    whole = list(batches(plan, start=LATE - 2, stop=LATE + steps))[2:]
    late = list(batches(plan, start=LATE, stop=LATE + steps))
    return all(
        np.array_equal(batch[kind][field], other[kind][field])
        for batch, other in zip(whole, late, strict=True)
        for kind in batch
        for field in batch[kind]
    )


def packing(corpus: Corpus, *, rounds: int) -> list[tables.Row]:
    """Returns how full the rows are, and how fast pairs are packed into such rows."""
    table = []
    shape = {"row_length": corpus.row_length, "max_pairs": corpus.max_pairs}
    for kind, streams in corpus.streams.items():
        if not streams:
            continue
        by_stream = [_pairs(corpus, kind, name) for name in streams]
        pack_all = {kind: lambda parts=by_stream: [pack(p, **shape) for p in parts]}
        seconds = stopwatch.interleaved(pack_all, rounds=rounds)[kind]
        rows = sum(stream.rows for stream in streams.values())
        real = sum(stream.real_tokens for stream in streams.values())
        stored = sum(f.stat().st_size for s in streams.values() for f in s.files)
        pairs = [pair for part in by_stream for pair in part]
        longest = max(sum(spans(pair, corpus.separators)) for pair in pairs)
        table.append(
            {
                "kind": kind,
                "pairs": len(pairs),
                "tokens a pair": real / len(pairs),
                "real positions, %": 100 * real / (rows * corpus.row_length),
                "padded to the longest, %": 100 * real / (len(pairs) * longest),
                "bytes a real token": stored / real,
                "M pairs packed/CPU-s": len(pairs) / seconds.cpu / 1e6,
            }
        )
    return table


def _pairs(corpus: Corpus, kind: str, name: str) -> list[Pair]:
    """Returns the pairs of a stream in an order that is not that of its rows."""
    stream = corpus.streams[kind][name]
    rows = read_rows(corpus, stream, np.arange(stream.rows))
    shape = {"row_length": corpus.row_length, "separators": corpus.separators}
    pairs = list(taken_apart(rows, **shape))
    return [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))]


def _drain(served: Iterable[HostBatch]) -> None:
    for _ in served:
        pass


def define_flags() -> None:
    flags.DEFINE_string("corpus", None, "a finished corpus; else it is built")
    flags.DEFINE_integer("rounds", 5, "timed ones", lower_bound=1)
    flags.DEFINE_list("pairs", ["8192", "256", "64"], "of a batch, several")
    tables.define_flag()


def main(_: list[str]) -> None:
    wanted = flags.FLAGS
    stopwatch.stay_on_one_core()
    if not all(pairs.isdecimal() and int(pairs) for pairs in wanted.pairs):
        raise UserError(f"--pairs={','.join(wanted.pairs)}: wanted positive numbers")
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(wanted.corpus or sample.corpus(Path(folder)))
        corpus = open_corpus(directory, verify=False)
        pairs = [int(number) for number in wanted.pairs]
        tables.show(
            {
                "From shards to batches, one core": feeding(
                    corpus, pairs, rounds=wanted.rounds, rows=_ROWS
                ),
                f"Rows of {corpus.row_length} tokens": packing(
                    corpus, rounds=wanted.rounds
                ),
            },
            wanted.json,
        )


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
