"""The arrays of a pretraining batch: what makes, feeds and compiles them asks here."""

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike


class Field(NamedTuple):
    """One array of a kind of rows."""

    shape: tuple[int, ...]  # of a row
    dtype: DTypeLike


def row_fields(row_length: int, max_pairs: int) -> dict[str, Field]:
    """The arrays of a packed row, by name.

    Args:
        row_length: tokens of a row, L.
        max_pairs: pairs that a row has room for, N.
    """
    return {
        "token_ids": Field((row_length,), np.int32),
        "span_lengths": Field((max_pairs, 2), np.int32),  # tokens of each pair's sides
        # Stream and kind, epoch, index: no two rows of a stage have the same three.
        "row_ids": Field((3,), np.uint32),
    }
