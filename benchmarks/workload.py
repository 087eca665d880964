"""The common work of all programs that are compared: masked-language-model batches.

NumPy only, and a function of the seed: every program sees the same texts, and every
peer the same masked positions. Texts have no language; their ids follow Zipf's law.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

PAD, UNK, CLS, SEP, MASK = range(5)
FIRST_WORD = 5
MASKING_RATE = 0.15  # share of the words to predict
LENGTHS = ("full", "pairs")
LEARNING_RATE, WEIGHT_DECAY, EPSILON = 1e-4, 0.01, 1e-6
NOT_PREDICTED = -100  # the label that PyTorch's cross entropy leaves out

_TEXT, _MASKS = 0, 1  # keep the two uses of a seed apart
_MEAN, _SPREAD, _RATIO_SPREAD = 30.0, 0.6, 0.2  # words of a sentence, of the log


@dataclasses.dataclass(frozen=True)
class Size:
    """A model and the rows of its batches."""

    num_layers: int
    hidden_size: int
    num_heads: int
    intermediate_size: int
    vocab_size: int
    row_length: int  # tokens
    rows: int  # of a batch

    @property
    def slots(self) -> int:
        """Predictions that a row has room for."""
        return max(1, int(np.ceil(MASKING_RATE * self.row_length)))


SIZES = {
    "tiny": Size(1, 64, 2, 256, 1024, 64, 4),
    "small": Size(4, 256, 4, 1024, 32_000, 128, 16),
    "base": Size(12, 768, 12, 3072, 119_547, 128, 4),
}


class Texts(NamedTuple):
    """Clean texts, one a row; `[CLS] x... [SEP] y... [SEP]`, or x alone."""

    token_ids: np.ndarray  # [B, L] int32
    span_lengths: np.ndarray  # [B, 2] int32: tokens of [CLS] x [SEP] and of y [SEP]


class Batch(NamedTuple):
    """The same texts as a peer trains on them; what is not said is int32."""

    input_ids: np.ndarray  # [B, L], masked
    mask: np.ndarray  # [B, L], 1 on real tokens
    segment_ids: np.ndarray  # [B, L], 1 on the second side
    labels: np.ndarray  # [B, L], NOT_PREDICTED where nothing is predicted
    pos: np.ndarray  # [B, P], where the predictions are
    pos_ids: np.ndarray  # [B, P], the ids there
    pos_w: np.ndarray  # [B, P] float32, 1 on predictions, 0 on filler
    n_real: int  # tokens of the batch that are not padding


def sized(name: str, *, row_length: int, rows: int) -> Size:
    """Returns `SIZES[name]`, with another row length or batch where it is not 0."""
    size = SIZES[name]
    return dataclasses.replace(
        size, row_length=row_length or size.row_length, rows=rows or size.rows
    )


def texts(size: Size, *, lengths: str, seed: int) -> Iterator[Texts]:
    """Yields `size.rows` texts at a time, without end.

    Args:
        size: rows and vocabulary.
        lengths: `full`, texts as long as a row; or `pairs` of sentences whose lengths
            are log-normal with a mean of 30 words, cut to fit a row.
        seed: equal seeds give equal texts.
    """
    random = np.random.default_rng([seed, _TEXT])
    column = np.arange(size.row_length)
    while True:
        spans = _spans(random, size, lengths)
        first, second = spans[:, :1], spans.sum(1, keepdims=True)
        words = random.random((size.rows, size.row_length))
        ids = FIRST_WORD + np.searchsorted(_cumulative(size.vocab_size), words)
        ids[:, 0] = CLS
        ids[(column == first - 1) | (column == second - 1)] = SEP
        ids[column >= second] = PAD
        yield Texts(ids.astype(np.int32), spans.astype(np.int32))


def batches(size: Size, *, lengths: str, seed: int) -> Iterator[Batch]:
    """Yields `texts` masked 80/10/10, without end; arguments as there."""
    random = np.random.default_rng([seed, _MASKS])
    for clean in texts(size, lengths=lengths, seed=seed):
        yield _masked(clean, size, random)


def first_batches(size: Size, count: int, *, lengths: str, seed: int) -> list[Batch]:
    """Returns the first `count` of `batches`."""
    return list(itertools.islice(batches(size, lengths=lengths, seed=seed), count))


def _spans(random: np.random.Generator, size: Size, lengths: str) -> np.ndarray:
    """Returns the span lengths [B, 2] of a batch of texts."""
    if lengths == "full":
        return np.tile([size.row_length, 0], (size.rows, 1))
    center = np.log(_MEAN) - _SPREAD**2 / 2
    x = np.maximum(1, np.rint(random.lognormal(center, _SPREAD, size.rows)))
    ratio = random.lognormal(0.0, _RATIO_SPREAD, size.rows)
    y = np.maximum(1, np.rint(x * ratio))
    room = size.row_length - 3  # [CLS] and two [SEP]
    x = np.minimum(x, room // 2)
    y = np.minimum(y, room - x)
    return np.stack([x + 2, y + 1], axis=1).astype(int)


@functools.cache
def _cumulative(vocab_size: int) -> np.ndarray:
    """Returns the share of words up to each one, [V - FIRST_WORD]; the last is 1."""
    shares = np.cumsum(1.0 / np.arange(1, vocab_size - FIRST_WORD + 1))
    return shares / shares[-1]


def _masked(clean: Texts, size: Size, random: np.random.Generator) -> Batch:
    ids, ends = clean.token_ids, clean.span_lengths.sum(1, keepdims=True)
    column = np.arange(size.row_length)
    is_word = ids >= FIRST_WORD
    score = np.where(is_word, random.random(ids.shape), 2.0)
    pos = np.argsort(score, axis=1, kind="stable")[:, : size.slots]
    wanted = np.clip(np.rint(MASKING_RATE * is_word.sum(1)), 1, size.slots)
    chosen = np.arange(size.slots) < wanted[:, None]
    kind = random.random(pos.shape)
    word = random.integers(FIRST_WORD, size.vocab_size, pos.shape)
    targets = np.take_along_axis(ids, pos, axis=1)
    hidden = np.where(kind < 0.8, MASK, np.where(kind < 0.9, word, targets))
    input_ids, labels = ids.copy(), np.full_like(ids, NOT_PREDICTED)
    np.put_along_axis(input_ids, pos, np.where(chosen, hidden, targets), axis=1)
    np.put_along_axis(labels, pos, np.where(chosen, targets, NOT_PREDICTED), axis=1)
    real = column < ends
    return Batch(
        input_ids=input_ids,
        mask=real.astype(np.int32),
        segment_ids=(real & (column >= clean.span_lengths[:, :1])).astype(np.int32),
        labels=labels,
        pos=np.where(chosen, pos, 0).astype(np.int32),
        pos_ids=np.where(chosen, targets, 0),
        pos_w=chosen.astype(np.float32),
        n_real=int(ends.sum()),
    )


def training_flops(size: Size, batch: Batch) -> int:
    """Returns the arithmetic that training on a batch needs, whoever does it.

    As `amber_jax/model/flops.py` counts it, which peers cannot import: three times the
    forward pass; products only, of real tokens only; attention inside a text only; the
    prediction head where something is predicted.
    """
    width, wide = size.hidden_size, size.intermediate_size
    tokens = batch.mask.sum(1, dtype=np.int64)  # [B]
    dense = tokens.sum() * (4 * width**2 + 2 * width * wide)
    attention = (tokens**2).sum() * 2 * width
    predicted = int(batch.pos_w.sum())
    head = predicted * (width**2 + width * size.vocab_size)
    return 3 * 2 * int(size.num_layers * (dense + attention) + head)
