"""Batches as a function of (corpus, seed, stage, step), fed through tf.data.

Resuming is arithmetic: nothing about the data is checkpointed, and each process
computes which rows of the global batch are its own.
"""

import contextlib
import dataclasses
import importlib.util
import itertools
import threading
from collections.abc import Iterator, Mapping

import numpy as np

from amber_jax.corpora.records import Corpus, Stream, read_rows_of
from amber_jax.data.order import block_counts, mixture, permuted_each
from amber_jax.data.schema import Field, row_fields
from amber_jax.errors import UserError, from_extra

HostBatch = dict[str, dict[str, np.ndarray]]
_TENSORFLOW = "train", "training reads its corpus with TensorFlow"
# Batches read at the same time, from disk and where every answer takes its time.
_PARALLEL, _PARALLEL_REMOTE = 2, 8
_MIXTURE_KEY, _ROW_KEY = 0, 1  # keep the two uses of a stage's seed apart


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """All that a stage's batches depend on."""

    corpus: Corpus
    rows: Mapping[str, int]  # kind -> rows in the global batch
    seed: int
    stage: int
    process_index: int = 0
    process_count: int = 1

    @property
    def fields(self) -> dict[str, Field]:
        """The arrays of each kind of rows."""
        return row_fields(self.corpus.row_length, self.corpus.max_pairs)


def batch_at(plan: BatchPlan, step: int) -> HostBatch:
    """This process's rows of the global batch of `step`.

    For each kind of rows the arrays of `plan.fields`, with B = global rows / processes
    in front. Batches of consecutive processes, one after the other, are the batch of a
    single process.
    """
    return {kind: _rows_at(plan, kind, step) for kind in plan.rows}


def _rows_at(plan: BatchPlan, kind: str, step: int) -> dict[str, np.ndarray]:
    own = plan.rows[kind] // plan.process_count
    first = step * plan.rows[kind] + plan.process_index * own
    streams, epochs, rows = _row_ids(plan, kind, np.arange(first, first + own))
    length, pairs = plan.corpus.row_length, plan.corpus.max_pairs
    known = list(plan.corpus.streams[kind].values())
    by_stream = np.argsort(streams, kind="stable")
    bounds = np.searchsorted(streams[by_stream], np.arange(len(known) + 1))
    wanted = [
        (stream, rows[by_stream[begin:end]])
        for stream, (begin, end) in zip(known, itertools.pairwise(bounds), strict=True)
        if begin < end
    ]
    packed = np.empty((own, length + 2 * pairs), np.int32)
    packed[by_stream] = _read(plan.corpus, wanted)
    row_ids = np.stack([2 * streams + _kind_number(kind), epochs, rows], axis=1)
    arrays = {
        "token_ids": packed[:, :length],
        "span_lengths": packed[:, length:].reshape(own, pairs, 2),
        "row_ids": row_ids,
    }
    return {
        name: arrays[name].astype(field.dtype, copy=False)
        for name, field in plan.fields.items()
    }


def _row_ids(
    plan: BatchPlan, kind: str, index: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stream, epoch and row, [K] int64 each, at positions `index` of a stage."""
    streams = plan.corpus.streams[kind]
    counts = block_counts({name: stream.rate for name, stream in streams.items()})
    sizes = np.array([stream.rows for stream in streams.values()])
    key = (plan.seed, plan.stage)
    chosen, positions = mixture(
        index,
        [counts[name] for name in streams],
        (*key, _MIXTURE_KEY, _kind_number(kind)),
    )
    epochs, within = np.divmod(positions, sizes[chosen])
    # Every epoch of every stream has an order of its own.
    orders, which = np.unique(epochs * len(sizes) + chosen, return_inverse=True)
    of_epoch, of_stream = np.divmod(orders, len(sizes))
    pairs = np.stack([of_stream, of_epoch], axis=1).tolist()
    keys = [(*key, _ROW_KEY, _kind_number(kind), *pair) for pair in pairs]
    rows = permuted_each(within, sizes[of_stream].tolist(), keys, which)
    return chosen, epochs, rows


def _kind_number(kind: str) -> int:
    return ("mono", "pair").index(kind)


def _read(corpus: Corpus, wanted: list[tuple[Stream, np.ndarray]]) -> np.ndarray:
    try:
        return read_rows_of(corpus, wanted)
    except UserError:  # of its storage
        raise
    except (OSError, ValueError) as error:
        raise UserError(
            f"corpus {corpus.directory}: a shard, whole at the start, can no longer be "
            f"read ({error}); restore its shards and run again"
        ) from error


def import_ahead() -> None:
    """Starts importing TensorFlow, which takes seconds, while other things happen.

    The interpreter waits for the import at its end, which would otherwise abort it.

    Raises:
        UserError: it is not installed.
    """
    with from_extra(*_TENSORFLOW):
        if importlib.util.find_spec("tensorflow") is None:
            raise ModuleNotFoundError("No module named 'tensorflow'")
    threading.Thread(target=_import_quietly).start()


def _import_quietly() -> None:
    with contextlib.suppress(ImportError):  # `batches` will say so
        importlib.import_module("tensorflow")


def batches(plan: BatchPlan, *, start: int, stop: int) -> Iterator[HostBatch]:
    """Yields the batches of steps start..stop-1, read ahead by tf.data.

    Raises:
        UserError: a shard went away since the corpus was opened, or TensorFlow cannot
            be imported.
    """
    with from_extra(*_TENSORFLOW):
        import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # accelerators belong to JAX
    types = {name: tf.as_dtype(field.dtype) for name, field in plan.fields.items()}
    failures: list[UserError] = []
    parallel = _PARALLEL_REMOTE if plan.corpus.is_remote else _PARALLEL

    def load(step: int) -> list[np.ndarray]:
        try:
            batch = batch_at(plan, int(step))
        except UserError as error:
            failures.append(error)  # tf.data would hand on its text only
            raise
        return [batch[kind][field] for kind in plan.rows for field in types]

    def fetch(step: tf.Tensor) -> dict[str, dict[str, tf.Tensor]]:
        flat = iter(tf.numpy_function(load, [step], [*types.values()] * len(plan.rows)))
        return {kind: {field: next(flat) for field in types} for kind in plan.rows}

    dataset = (
        tf.data.Dataset.range(start, stop)
        .map(fetch, num_parallel_calls=parallel, deterministic=True)
        .prefetch(2)
    )
    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.OpError:
        if failures:
            raise failures[0] from None
        raise


def rows_for_pairs(streams: Mapping[str, Stream], pairs: int, *, multiple: int) -> int:
    """The rows of a kind that hold `pairs` sentence pairs on average.

    Args:
        streams: the corpus's streams of the kind.
        pairs: wanted sentence pairs; 0 gives 0 rows.
        multiple: the result is rounded to a positive multiple of this.
    """
    if not pairs:
        return 0
    per_row = sum(s.rate * s.pairs / s.rows for s in streams.values())
    return max(1, round(pairs / per_row / multiple)) * multiple


def check_division(rows: Mapping[str, int], parts: int, what: str) -> None:
    """Raises UserError unless every kind's rows divide into `parts` equal shares."""
    for kind, count in rows.items():
        if count % parts:
            raise UserError(
                f"{count} {kind} rows in the batch do not divide among {parts} {what}; "
                f"set row_multiple to a multiple of {parts}"
            )
