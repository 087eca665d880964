"""Texts of any length in batches of packed rows: few shapes, little padding."""

import collections
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from amber_jax.corpora.packing import Row, best_fit_indices, lay_out, spans
from amber_jax.tokenization.tokenizer import SpecialTokens

# Of a row: the wider it is, the more attention computes between texts that do not see
# each other. In rows of 128 a position takes a fifth longer than in rows of 64, with 12
# layers of 384 on a CPU; narrower rows would hold few texts and more padding.
_LEAST_WIDTH = 64  # tokens; longer texts stand in rows of 128, 256, ...
_TOKENS_PER_TEXT = 8  # a row has room for as many texts as have so many tokens
_WINDOW = 4096  # texts packed together

_Rows = list[list[int]]  # the texts of each row


class RowBatch(NamedTuple):
    """Rows that are computed together, and the texts in them."""

    token_ids: np.ndarray  # [B, L] int32
    span_lengths: np.ndarray  # [B, N, 2] int32
    indices: list[int]  # of the texts, row by row; filler rows have none


def row_batches(
    texts: Sequence[Row], special: SpecialTokens, *, tokens: int, multiple: int = 1
) -> Iterator[RowBatch]:
    """Yields batches that hold every text once.

    A text is one or more pairs that stand in a row together. All batches of a width
    have one shape, so few programs are compiled; a width of less than one batch has the
    next power of two of rows.

    Args:
        texts: all of them, each as the pairs that it consists of.
        special: the tokenizer's special tokens.
        tokens: of a batch, padding included; a wider row has a batch of its own.
        multiple: rows of a batch are a multiple of this, so that devices divide them.
    """
    lengths = [
        sum(sum(spans(pair, special.separators)) for pair in text) for text in texts
    ]
    most_pairs = max(map(len, texts), default=1)
    for width, rows, taken in _batches(lengths, tokens=tokens, multiple=multiple):
        max_pairs = most_pairs * _most_texts(width)
        records = lay_out(
            [[pair for i in row for pair in texts[i]] for row in taken]
            + [[]] * (rows - len(taken)),
            special,
            row_length=width,
            max_pairs=max_pairs,
        )
        yield RowBatch(
            records[:, :width],
            records[:, width:].reshape(rows, max_pairs, 2),
            [i for row in taken for i in row],
        )


def _batches(
    lengths: Sequence[int], *, tokens: int, multiple: int
) -> Iterator[tuple[int, int, _Rows]]:
    """Yields the width, the number of rows, and the texts of those that have any."""
    waiting: dict[int, _Rows] = collections.defaultdict(list)
    whole: set[int] = set()  # widths that had a whole batch

    def whole_batches(width: int) -> Iterator[tuple[int, int, _Rows]]:
        rows = _most_rows(width, tokens, multiple)
        while len(waiting[width]) >= rows:
            whole.add(width)
            yield width, rows, waiting[width][:rows]
            del waiting[width][:rows]

    for begin in range(0, len(lengths), _WINDOW):
        for width, packed in _packed(lengths[begin : begin + _WINDOW]).items():
            waiting[width] += [[begin + i for i in row] for row in packed]
            yield from whole_batches(width)
    widths = sorted(waiting)
    # What is left of a width goes on in rows of the next, so that few are left in all.
    for width, wider in itertools.zip_longest(widths, widths[1:]):
        yield from whole_batches(width)
        left = waiting[width]
        if wider:
            several = wider // width
            waiting[wider] += [
                sum(left[i : i + several], []) for i in range(0, len(left), several)
            ]
        elif left:
            rows = _most_rows(width, tokens, multiple)
            if width not in whole:
                rows = min(rows, multiple * power_of_two(len(left) / multiple))
            yield width, rows, left


def _packed(lengths: Sequence[int]) -> dict[int, _Rows]:
    """The texts of each row by the rows' width, widest first.

    A text stands in rows of the least width that holds it, or fills up a wider one.
    """
    remaining = list(range(len(lengths)))
    width = row_width(max(lengths, default=1))
    rows: dict[int, _Rows] = {}
    while remaining:
        packed = best_fit_indices(
            [lengths[i] for i in remaining],
            row_length=width,
            max_pairs=_most_texts(width),
        )
        of_texts = [[remaining[place] for place in row] for row in packed]
        # The longest text of a row stands first.
        least = 0 if width == _LEAST_WIDTH else width // 2 + 1
        rows[width] = [row for row in of_texts if lengths[row[0]] >= least]
        remaining = [i for row in of_texts if lengths[row[0]] < least for i in row]
        width //= 2
    return {width: packed for width, packed in rows.items() if packed}


def row_width(length: int) -> int:
    """The tokens of a row that holds a text of `length` tokens."""
    return _LEAST_WIDTH * power_of_two(length / _LEAST_WIDTH)


def _most_texts(width: int) -> int:
    return width // _TOKENS_PER_TEXT


def _most_rows(width: int, tokens: int, multiple: int) -> int:
    return max(1, tokens // width // multiple) * multiple


def power_of_two(least: float) -> int:
    """The smallest power of two that is at least 1 and `least`."""
    power = 1
    while power < least:
        power *= 2
    return power
