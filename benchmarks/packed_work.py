"""The common work as batches of our own: packed rows, unmasked."""

import itertools
from collections.abc import Iterator

import numpy as np

from amber_jax.corpora.packing import WINDOW, best_fit_indices
from benchmarks import workload

MAX_PAIRS = 16  # pairs of a row, as configs/corpus_folder.py has it
HostBatch = dict[str, dict[str, np.ndarray]]

_ORDER = 2  # a use of the seed; workload.py has the first two


def batches(
    size: workload.Size, count: int, *, lengths: str, packed: bool, seed: int
) -> list[HostBatch]:
    """Returns `count` batches of `size.rows` rows, as `data/pipeline` would.

    Args:
        size: rows and vocabulary.
        count: how many.
        lengths: of the texts, see `workload.texts`; `pairs` come as `pair` rows, the
            texts of a full row as `mono` rows.
        packed: whether pairs share rows, best fit in windows and then in random
            order, as in a corpus; else every text has a row of its own.
        seed: of the texts and the order.
    """
    kind = "pair" if lengths == "pairs" else "mono"
    source = workload.texts(size, lengths=lengths, seed=seed)
    random = np.random.default_rng([seed, _ORDER])
    wanted = size.rows * count
    token_ids, span_lengths = [], []
    while sum(map(len, token_ids)) < wanted:
        if packed and kind == "pair":
            ids, spans = pack(_window(source, size, WINDOW), size.row_length)
            order = random.permutation(len(ids))
            ids, spans = ids[order], spans[order]
        else:
            ids, spans = one_a_row(next(source))
        token_ids.append(ids)
        span_lengths.append(spans)
    ids = np.concatenate(token_ids)[:wanted]
    spans = np.concatenate(span_lengths)[:wanted]
    row_ids = np.zeros((wanted, 3), np.uint32)
    row_ids[:, 0] = kind == "pair"  # number of the stream
    row_ids[:, 2] = np.arange(wanted)
    parts = [np.split(part, count) for part in (ids, spans, row_ids)]
    fields = ("token_ids", "span_lengths", "row_ids")
    return [
        {kind: dict(zip(fields, part, strict=True))}
        for part in zip(*parts, strict=True)
    ]


def pack(texts: workload.Texts, row_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows that hold every text once: ids [R, L], spans [R, MAX_PAIRS, 2]."""
    lengths = texts.span_lengths.sum(1).tolist()
    indices = best_fit_indices(lengths, row_length=row_length, max_pairs=MAX_PAIRS)
    token_ids = np.full((len(indices), row_length), workload.PAD, np.int32)
    spans = np.zeros((len(indices), MAX_PAIRS, 2), np.int32)
    for row, numbers in enumerate(indices):
        tokens = np.concatenate([texts.token_ids[i, : lengths[i]] for i in numbers])
        token_ids[row, : len(tokens)] = tokens
        spans[row, : len(numbers)] = texts.span_lengths[numbers]
    return token_ids, spans


def one_a_row(texts: workload.Texts) -> tuple[np.ndarray, np.ndarray]:
    """Returns the same as `pack`, with one text in each row."""
    spans = np.zeros((len(texts.token_ids), MAX_PAIRS, 2), np.int32)
    spans[:, 0] = texts.span_lengths
    return texts.token_ids, spans


def _window(
    source: Iterator[workload.Texts], size: workload.Size, texts: int
) -> workload.Texts:
    parts = list(itertools.islice(source, -(-texts // size.rows)))
    return workload.Texts(*(np.concatenate(part) for part in zip(*parts, strict=True)))
