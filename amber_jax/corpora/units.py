"""The unit of work: a slice of one input, and its lines, each with its reasons."""

import bisect
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from amber_jax.corpora.filters import Cleaned, is_header
from amber_jax.corpora.plain import PlainFile, Slice, read_slice
from amber_jax.corpora.screening import Screen
from amber_jax.corpora.sources import LanguagePair
from amber_jax.corpora.text import LINE_CAP_BYTES

SAMPLED_SHARE = 100  # one block in so many tells what to expect
_CLEANED_LINES = 32  # lines looked at together: mostly all are clean
_MOST_UNITS = 1 << 32  # of a source

StreamKey = tuple[str, str]  # ("pair", "en-fr") or ("mono", "en")
Line = dict[str, Cleaned]  # language -> its screened cell
# Of a unit's lines or pairs that pass the screen, by number, why some are left out.
LeftOut = Mapping[StreamKey, Mapping[int, str]]

# A line's cells, and why each of the unit's streams does without it, if so.
JudgedLine = tuple[Line, list[str | None]]


@dataclass(frozen=True)
class Unit:
    """A slice of a table: the same lines of each of its files."""

    number: int  # of `unit_number`
    slices: tuple[Slice, ...]
    columns: tuple[str, ...]  # tab-separated when they are more than the files
    pairs: tuple[LanguagePair, ...]  # none: the table is running text

    @property
    def keys(self) -> list[StreamKey]:
        """The streams of its pairs, or of its text."""
        if not self.pairs:
            return [("mono", self.columns[0])]
        return [("pair", f"{src}-{tgt}") for src, tgt in self.pairs]

    @property
    def source(self) -> int:
        """The number of its source among those of the recipe."""
        return self.number // _MOST_UNITS

    @property
    def place(self) -> int:
        """Its number among the units of its source."""
        return self.number % _MOST_UNITS

    @property
    def name(self) -> str:
        """A name that no other unit has."""
        return f"{self.source}-{self.place}"

    @property
    def size(self) -> int:
        """Bytes of input."""
        return sum(part.end - part.start for part in self.slices)


def unit_number(source: int, place: int) -> int:
    """Returns a unit's number, which orders units by source, then by place in it.

    It is known without knowing how many units the sources before have.
    """
    return source * _MOST_UNITS + place


def cut_units(
    files: Sequence[PlainFile], *, unit_bytes: int
) -> list[tuple[Slice, ...]]:
    """Returns consecutive slices of files with equal line counts.

    Each slice is the smallest number of blocks with at least `unit_bytes` in all
    files together.
    """
    blocks = zip(*(file.blocks for file in files), strict=True)
    last = tuple(file.blocks[-1] for file in files)
    units, begin = [], next(blocks)
    for end in blocks:
        if sum(end) - sum(begin) >= unit_bytes or end == last:
            bounds = zip(files, begin, end, strict=True)
            units.append(tuple(Slice(file.path, a, b) for file, a, b in bounds))
            begin = end
    return units


def sampled(files: Sequence[PlainFile], slices: Sequence[Slice]) -> tuple[Slice, ...]:
    """Returns the first hundredth of the blocks of `cut_units`' slices, at least one.

    Args:
        files: what the slices were cut from.
        slices: those of one unit.
    """
    blocks = files[0].blocks
    begin = bisect.bisect_left(blocks, slices[0].start)
    end = bisect.bisect_left(blocks, slices[0].end)
    stop = min(end, begin - (begin - end) // SAMPLED_SHARE)  # rounded up
    return tuple(
        Slice(file.path, file.blocks[begin], file.blocks[stop]) for file in files
    )


def judged_lines(unit: Unit, screen: Screen, left_out: LeftOut) -> Iterator[JudgedLine]:
    """Yields each line of a unit, and why each of `unit.keys` does without it, if so.

    Args:
        unit: a slice of a table.
        screen: says which cells and pairs pass.
        left_out: of those that pass, counted from 0 in each stream, which do not after
            all, and why.
    """
    if unit.pairs:
        return _judged_pairs(unit, screen, left_out)
    return _judged_text(unit, screen, left_out)


def _judged_text(unit: Unit, screen: Screen, left_out: LeftOut) -> Iterator[JudgedLine]:
    (language,), (key,) = unit.columns, unit.keys
    reasons, passed = left_out.get(key, {}), itertools.count()
    lines = itertools.chain.from_iterable(map(read_slice, unit.slices))
    while raws := list(itertools.islice(lines, _CLEANED_LINES)):
        for cell in screen.cells(raws, language):
            reason = cell[1] or reasons.get(next(passed))
            yield {language: cell}, [reason]


def _judged_pairs(
    unit: Unit, screen: Screen, left_out: LeftOut
) -> Iterator[JudgedLine]:
    keys = unit.keys
    passed: Counter[StreamKey] = Counter()
    for line in _screened_pairs(unit, screen):
        if isinstance(line, str):
            yield {}, [line] * len(keys)
            continue
        reasons = [screen.pair_reason(line, pair) for pair in unit.pairs]
        for place, key in enumerate(keys):
            if reasons[place] is None:
                reasons[place] = left_out.get(key, {}).get(passed[key])
                passed[key] += 1
        yield line, reasons


def _screened_pairs(unit: Unit, screen: Screen) -> Iterator[Line | str]:
    """Yields each line's cells by language, or why the whole line is rejected."""
    wanted = frozenset(itertools.chain(*unit.pairs))
    is_table = len(unit.slices) < len(unit.columns)
    for raws in zip(*map(read_slice, unit.slices), strict=True):
        fields = raws[0].split(b"\t") if is_table else raws
        if is_table and len(raws[0]) > LINE_CAP_BYTES:  # its last field is cut
            yield "too_long"
        elif len(fields) != len(unit.columns):
            yield "field_count"
        else:
            line = {
                language: screen.cell(cell, language)
                for language, cell in zip(unit.columns, fields, strict=True)
                if language in wanted
            }
            yield "header" if is_header(line) else line
