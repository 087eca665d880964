"""Lines that are rejected, for example: whatever rejects them, found by bisection."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Sequence

from amber_jax.corpora.plain import Slice, read_slice
from amber_jax.corpora.text import LINE_CAP_BYTES
from amber_jax.corpora.units import Unit

Rejects = Callable[[Unit], Counter[str]]  # how many lines of a unit, by reason
Offsets = Sequence[Sequence[int]]  # of the lines of each file, and of their end

_WIDTH = 200  # characters


def line_offsets(unit: Unit, most: int) -> Offsets:
    """Returns where the first lines of a unit begin in its slices, `most` at most.

    A line that is cut where it is read ends them, for nobody knows where it ends.
    """
    columns = [
        itertools.takewhile(_is_whole, itertools.islice(read_slice(part), most))
        for part in unit.slices
    ]
    rows = list(zip(*columns, strict=False))
    return [
        [*itertools.accumulate((len(line) + 1 for line in column), initial=0)]
        for column in (zip(*rows, strict=True) if rows else [()] * len(columns))
    ]


def first_lines(unit: Unit, offsets: Offsets, begin: int, end: int) -> Unit:
    """Returns the unit of the lines [begin, end) of those that `offsets` tells."""
    slices = (
        Slice(
            part.path,
            part.start + starts[begin],
            min(part.start + starts[end], part.end),  # the last may lack its line end
        )
        for part, starts in zip(unit.slices, offsets, strict=True)
    )
    return dataclasses.replace(unit, slices=tuple(slices))


def example(
    unit: Unit, offsets: Offsets, begin: int, end: int, reason: str, rejects: Rejects
) -> str:
    """Returns the first of the lines [begin, end) that is rejected for a reason.

    What rejects a line may depend on those before it, so all of them are always there.
    """
    passed, end_of_first = begin, end
    while end_of_first - passed > 1:
        middle = (passed + end_of_first) // 2
        if rejects(first_lines(unit, offsets, begin, middle))[reason]:
            end_of_first = middle
        else:
            passed = middle
    line = first_lines(unit, offsets, end_of_first - 1, end_of_first)
    cells = (next(read_slice(part), b"") for part in line.slices)
    return b"\t".join(cells).decode("utf-8", "replace")[:_WIDTH]


def _is_whole(line: bytes) -> bool:
    return len(line) <= LINE_CAP_BYTES
