"""Pairs of token sequences packed into rows of one length; see `model/rows`.

A pair (x, y) is laid out as `[CLS] x [SEP] y [SEP]`, a lone text (x, []) as
`[CLS] x [SEP]`; more separators than one, `[CLS] x [SEP] [SEP] y [SEP]`, belong to the
second side. A row ends with the span lengths of its pairs:

    row_length 10, max_pairs 2, pairs ([7, 8], [9]) and ([5], [])
    CLS 7 8 SEP 9 SEP CLS 5 SEP PAD | 4 2 3 0
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from amber_jax.tokenization.tokenizer import SpecialTokens

WINDOW = 4096  # pairs packed together
_ROOM_SHARE = 32  # a row with more than 1/32 of its positions free is repacked
_MOST_LEFT = 256  # pairs; a stream that never packs well must not pile up

TokenIds = list[int]
Pair = tuple[TokenIds, TokenIds]
Row = list[Pair]


def spans(pair: Pair, separators: int = 1) -> tuple[int, int]:
    """Returns the tokens of `[CLS] x [SEP]` and of `y [SEP]` (0 for a lone text).

    Args:
        pair: its sides' ids.
        separators: those between the sides.
    """
    x, y = pair
    return len(x) + 2, len(y) + separators if y else 0


def pack(
    pairs: Iterable[Pair], *, row_length: int, max_pairs: int, separators: int = 1
) -> tuple[list[Row], list[Pair]]:
    """Packs pairs into rows, window by window, and returns what filled rows badly.

    Badly filled rows of a window are taken apart and join the next one.

    Returns:
        (rows, left): every pair of the input is in exactly one of the two; `left`
        holds at most 256 pairs, for the caller to pack together with others.
    """
    shape = {"row_length": row_length, "max_pairs": max_pairs, "separators": separators}
    rows: list[Row] = []
    left: list[Pair] = []
    waiting = iter(pairs)
    while window := list(itertools.islice(waiting, WINDOW)):
        packed = best_fit(left + window, **shape)
        good, left = _split_off_poor(packed, row_length, separators)
        rows += good
    surplus = left[_MOST_LEFT:]
    rows += best_fit(surplus, **shape)
    return rows, left[:_MOST_LEFT]


def best_fit(
    pairs: Sequence[Pair], *, row_length: int, max_pairs: int, separators: int = 1
) -> list[Row]:
    """Returns rows that hold every pair; arguments as `best_fit_indices`, `spans`."""
    lengths = [sum(spans(pair, separators)) for pair in pairs]
    places = best_fit_indices(lengths, row_length=row_length, max_pairs=max_pairs)
    return [[pairs[i] for i in row] for row in places]


def best_fit_indices(
    lengths: Sequence[int], *, row_length: int, max_pairs: int
) -> list[list[int]]:
    """Returns which pairs stand in which row: longest first, into the fullest row.

    Equal inputs give equal rows. No length may be more than `row_length`.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    rows: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(row_length + 1)]
    rooms = 0  # bit r is set while some row has room for exactly r tokens
    for i in order:
        length = lengths[i]
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            number = with_room[room].pop()
            rooms ^= 0 if with_room[room] else 1 << room
        else:
            room, number = row_length, len(rows)
            rows.append([])
        rows[number].append(i)
        if len(rows[number]) < max_pairs:
            with_room[room - length].append(number)
            rooms |= 1 << (room - length)
    return rows


def lay_out(
    rows: Sequence[Row], special: SpecialTokens, *, row_length: int, max_pairs: int
) -> np.ndarray:
    """Returns the records of `rows`, [R, row_length + 2 max_pairs] int32."""
    records = np.zeros((len(rows), row_length + 2 * max_pairs), np.int32)
    records[:, :row_length] = special.pad
    for record, row in zip(records, rows, strict=True):
        tokens: TokenIds = []
        lengths: list[int] = []
        for pair in row:
            tokens += _tokens(pair, special)
            lengths += spans(pair, special.separators)
        record[: len(tokens)] = tokens
        record[row_length : row_length + len(lengths)] = lengths
    return records


def taken_apart(
    records: np.ndarray, *, row_length: int, separators: int = 1
) -> Iterator[Pair]:
    """Yields the pairs of records [R, row_length + 2 N]; undoes `lay_out`."""
    for record in records:
        start = 0
        for x_span, y_span in record[row_length:].reshape(-1, 2).tolist():
            middle, end = start + x_span, start + x_span + y_span
            if x_span:
                x = record[start + 1 : middle - 1].tolist()
                y_start = middle + separators - 1
                yield x, record[y_start : max(end - 1, y_start)].tolist()
            start = end


def text_pairs(lines: Iterable[TokenIds | None], max_piece: int) -> list[Pair]:
    """Returns running text as pairs of neighboring pieces of one document.

    Two neighboring lines are a pair; a line longer than `max_piece` tokens is cut
    into pairs of its own; a line without a neighbor stands alone. None ends a
    document.

        [[1, 2, 3], [4], None, [5]], max_piece 2     ([1, 2], [3])  ([4], [])  ([5], [])
    """
    pairs: list[Pair] = []
    waiting: TokenIds | None = None
    for line in itertools.chain(lines, [None]):
        if waiting and line and len(line) <= max_piece:
            pairs.append((waiting, line))
            waiting = None
            continue
        if waiting:
            pairs.append((waiting, []))
        waiting = line
        if line and len(line) > max_piece:
            pairs += _cut(line, max_piece)
            waiting = None
    return pairs


def _cut(line: TokenIds, max_piece: int) -> Iterator[Pair]:
    """Yields pairs of equal halves: full ones first, the rest fills gaps in rows."""
    for start in range(0, len(line), 2 * max_piece):
        part = line[start : start + 2 * max_piece]
        half = (len(part) + 1) // 2
        yield part[:half], part[half:]


def _split_off_poor(
    rows: list[Row], row_length: int, separators: int
) -> tuple[list[Row], list[Pair]]:
    good: list[Row] = []
    poor: list[Pair] = []
    room_allowed = row_length // _ROOM_SHARE
    for row in reversed(rows):  # the last rows were opened last, for the shortest
        room = row_length - sum(sum(spans(pair, separators)) for pair in row)
        if room > room_allowed and len(poor) + len(row) <= WINDOW:
            poor += row
        else:
            good.append(row)
    return good[::-1], poor


def _tokens(pair: Pair, special: SpecialTokens) -> TokenIds:
    x, y = pair
    between = [special.sep] * special.separators
    behind = [*between, *y, special.sep] if y else [special.sep]
    return [special.cls, *x, *behind]
