"""Labeled sentences and pairs, packed into rows: for fine-tuning and prediction.

As in pretraining, a batch is a function of (examples, seed, step), and a row holds
several examples; see `model/rows`.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from amber_jax.corpora.packing import best_fit_indices, lay_out, spans
from amber_jax.data.order import permuted
from amber_jax.tokenization.tokenizer import SpecialTokens

MAX_PAIRS = 16  # examples of a row
_WINDOW = 4096  # examples packed together for prediction
_ORDER_KEY = 2  # apart from pretraining's uses of a seed


class Labeled(NamedTuple):
    """One example as ids: a pair (x, y), or a lone sentence (x, [])."""

    src_ids: list[int]
    tgt_ids: list[int]
    slots: list[int]  # token indices in `[CLS] x [SEP] y [SEP]` that have a label
    labels: list[int]  # the label at each of them


class RowShape(NamedTuple):
    """The sizes of packed rows."""

    row_length: int  # L
    num_slots: int  # S, labels that a row holds
    special: SpecialTokens


Rows = dict[str, np.ndarray]
"""token_ids [R, L], span_lengths [R, N, 2], slots and labels [R, S], int32, and
label_weights [R, S] float32, 0 on filler slots."""


def packed(
    examples: Sequence[Labeled], shape: RowShape, *, multiple: int
) -> tuple[Rows, list[int]]:
    """The examples as rows, and their indices in the order of the rows.

    Empty rows fill up to a multiple of `multiple`. Reading a row's labels slot by slot
    gives those of its examples, one after the other.
    """
    separators = shape.special.separators
    lengths = [sum(spans(example[:2], separators)) for example in examples]
    contents = best_fit_indices(
        lengths, row_length=shape.row_length, max_pairs=MAX_PAIRS
    )
    count = -(-max(len(contents), 1) // multiple) * multiple
    contents += [[] for _ in range(count - len(contents))]
    records = lay_out(
        [[examples[i][:2] for i in row] for row in contents],
        shape.special,
        row_length=shape.row_length,
        max_pairs=MAX_PAIRS,
    )
    slots = np.zeros((count, shape.num_slots), np.int32)
    labels = np.zeros((count, shape.num_slots), np.int32)
    weights = np.zeros((count, shape.num_slots), np.float32)
    for row_index, row in enumerate(contents):
        starts = np.cumsum([0, *(lengths[i] for i in row)])
        labeled = [
            (start + slot, label)
            for i, start in zip(row, starts[: len(row)], strict=True)
            for slot, label in zip(examples[i].slots, examples[i].labels, strict=True)
        ]
        if labeled:
            used = slice(len(labeled))
            slots[row_index, used], labels[row_index, used] = zip(*labeled, strict=True)
            weights[row_index, used] = 1.0
    rows = {
        "token_ids": records[:, : shape.row_length],
        "span_lengths": records[:, shape.row_length :].reshape(count, MAX_PAIRS, 2),
        "slots": slots,
        "labels": labels,
        "label_weights": weights,
    }
    return rows, [i for row in contents for i in row]


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
    """The batches that hold every example once; the last may be smaller."""
    return math.ceil(num_examples / batch_size)


def training_batches(
    examples: Sequence[Labeled],
    shape: RowShape,
    *,
    batch_size: int,
    seed: int,
    start: int,
    stop: int,
    multiple: int,
) -> Iterator[dict[str, Rows]]:
    """Yields the batches of steps start..stop-1.

    Every epoch has all examples in an order of its own, `batch_size` a step. Rows are
    numbered in row_ids [R, 1] uint32, from which dropout derives its seeds.

    Args:
        examples: all training examples.
        shape: of the rows.
        batch_size: examples in the global batch.
        seed: of the order.
        start: first step.
        stop: step after the last.
        multiple: rows of the global batch are a multiple of this, so that devices
            divide them and few programs are compiled.
    """
    epoch_steps = steps_per_epoch(len(examples), batch_size)
    for step in range(start, stop):
        epoch, step_of_epoch = divmod(step, epoch_steps)
        first = step_of_epoch * batch_size
        index = np.arange(first, min(first + batch_size, len(examples)))
        chosen = permuted(index, len(examples), (seed, _ORDER_KEY, epoch))
        rows, _ = packed([examples[i] for i in chosen], shape, multiple=multiple)
        row_ids = np.arange(len(rows["token_ids"]), dtype=np.uint32)[:, None]
        yield {"labeled": rows | {"row_ids": row_ids}}


def prediction_batches(
    examples: Sequence[Labeled], shape: RowShape, *, rows_per_batch: int
) -> Iterator[tuple[Rows, list[int]]]:
    """Yields (rows, indices of their examples in order), all batches of one shape."""
    for begin in range(0, len(examples), _WINDOW):
        window = examples[begin : begin + _WINDOW]
        rows, order = packed(window, shape, multiple=rows_per_batch)
        counts = (rows["span_lengths"][..., 0] > 0).sum(axis=1)
        ends = np.cumsum(counts)
        for first in range(0, len(counts), rows_per_batch):
            last = first + rows_per_batch
            indices = order[ends[first] - counts[first] : ends[last - 1]]
            batch = {name: array[first:last] for name, array in rows.items()}
            yield batch, [begin + index for index in indices]


def cut_longest(
    first: list[int], second: list[int], room: int
) -> tuple[list[int], list[int]]:
    """Both lists cut to at most `room` elements together.

    One by one, the last element of the longer list is cut; of the second, if equal.

        [1, 2, 3, 4], [5, 6], room 4     [1, 2], [5, 6]
        [1, 2, 3], [4, 5, 6], room 3     [1, 2], [4]
    """
    surplus = max(0, len(first) + len(second) - room)
    longer = min(surplus, abs(len(first) - len(second)))
    shared = surplus - longer  # after this many, both are equally long
    from_first = (longer if len(first) > len(second) else 0) + shared // 2
    from_second = surplus - from_first
    return first[: len(first) - from_first], second[: len(second) - from_second]
