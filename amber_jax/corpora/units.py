"""The unit of work: a slice of one input in, packed rows and counts out.

`process_unit` is pure, so units may run in any process, in any order, on any machine;
results are put together in unit order.
"""

import bisect
import itertools
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.filters import Cleaned, is_header, pair_token_reason
from amber_jax.corpora.packing import (
    Pair,
    TokenIds,
    best_fit,
    lay_out,
    pack,
    text_pairs,
)
from amber_jax.corpora.plain import PlainFile, Slice, read_slice
from amber_jax.corpora.screening import Screen
from amber_jax.corpora.sentences import split_sentences
from amber_jax.corpora.sources import LanguagePair
from amber_jax.corpora.text import LINE_CAP_BYTES
from amber_jax.tokenization.tokenizer import Tokenizer

SAMPLED_SHARE = 100  # one block in so many tells what to expect
_BATCH_LINES = 256  # lines tokenized together
_MOST_UNITS = 1 << 32  # of a source

StreamKey = tuple[str, str]  # ("pair", "en-fr") or ("mono", "en")
Line = dict[str, Cleaned]  # language -> its screened cell
# Of a unit's lines or pairs that pass the screen, by number, why some are left out.
LeftOut = Mapping[StreamKey, Mapping[int, str]]

_Judged = tuple[Line, list[str | None]]


@dataclass(frozen=True)
class BuildOptions:
    """Every number that shapes a corpus; `configs/corpus_sample.py` explains them."""

    row_length: int  # tokens
    max_pairs: int  # pairs of a row
    rows_per_shard: int
    alpha: float  # exponent of the language rates
    max_side_tokens: int
    cut_long_sides: bool  # longer sides lose their end instead of the whole pair
    max_length_ratio: float
    max_line_bytes: int
    unit_bytes: int  # input bytes of a unit of work, at least one block of lines
    parallel_as_text: bool  # sides of kept pairs also serve as monolingual text
    cleaning: Cleaning = Cleaning()
    split_sentences: bool = False  # of running text, before neighbors become pairs


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


@dataclass
class Part:
    """What one unit adds to one stream."""

    rows: np.ndarray  # [R, L + 2 N] int32
    left: np.ndarray  # [Q, L + 2 N] int32: rows to be packed anew with others
    inputs: int  # lines or pairs read, rejected ones included
    rejects: Counter[str] = field(default_factory=Counter)

    @classmethod
    def without_rows(
        cls, inputs: int, rejects: Counter[str], options: BuildOptions
    ) -> "Part":
        """Returns a part of lines of which none is kept."""
        none = np.zeros((0, options.row_length + 2 * options.max_pairs), np.int32)
        return cls(none, none, inputs, rejects)


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


def process_unit(
    unit: Unit,
    options: BuildOptions,
    tokenizer: Tokenizer,
    screen: Screen,
    left_out: LeftOut,
) -> dict[StreamKey, Part]:
    """Returns the rows, leftovers and counts that a unit adds to each stream."""
    found = _Found()
    lines = judged_lines(unit, screen, left_out)
    while batch := list(itertools.islice(lines, _BATCH_LINES)):
        if unit.pairs:
            _collect_pairs(batch, unit, options, tokenizer, found)
        else:
            _collect_text(batch, unit.columns[0], options, tokenizer, found)
    max_piece = (options.row_length - 2 - tokenizer.special.separators) // 2
    for language, texts in found.texts.items():
        found.pairs["mono", language] = text_pairs(texts, max_piece)
    return {key: _part(key, found, options, tokenizer) for key in sorted(found.inputs)}


def judged_lines(
    unit: Unit, screen: Screen, left_out: LeftOut
) -> Iterator[tuple[Line, list[str | None]]]:
    """Yields each line of a unit, and why each of `unit.keys` does without it, if so.

    Args:
        unit: a slice of a table.
        screen: says which cells and pairs pass.
        left_out: of those that pass, counted from 0 in each stream, which do not after
            all, and why.
    """
    keys = unit.keys
    passed: Counter[StreamKey] = Counter()
    for line in _screened_lines(unit, screen):
        if isinstance(line, str):
            yield {}, [line] * len(keys)
            continue
        if unit.pairs:
            reasons = [screen.pair_reason(line, pair) for pair in unit.pairs]
        else:
            reasons = [line[unit.columns[0]][1]]
        for place, key in enumerate(keys):
            if reasons[place] is None:
                reasons[place] = left_out.get(key, {}).get(passed[key])
                passed[key] += 1
        yield line, reasons


@dataclass
class _Found:
    """What has been read of a unit so far."""

    pairs: dict[StreamKey, list[Pair]] = field(
        default_factory=lambda: defaultdict(list)
    )
    texts: dict[str, list[TokenIds | None]] = field(
        default_factory=lambda: defaultdict(list)
    )
    inputs: Counter[StreamKey] = field(default_factory=Counter)
    rejects: dict[StreamKey, Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )


def _screened_lines(unit: Unit, screen: Screen) -> Iterator[Line | str]:
    """Yields each line's cells by language, or why the whole line is rejected."""
    wanted = frozenset(itertools.chain(*unit.pairs)) or unit.columns
    for raws in zip(*map(read_slice, unit.slices), strict=True):
        is_table = len(raws) == 1 < len(unit.columns)
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
            yield "header" if unit.pairs and is_header(line) else line


def _collect_text(
    batch: list[_Judged],
    language: str,
    options: BuildOptions,
    tokenizer: Tokenizer,
    found: _Found,
) -> None:
    key = ("mono", language)
    texts = [[line[language][0]] if not reason else [] for line, (reason,) in batch]
    if options.split_sentences:
        texts = [
            [
                sentence
                for text in of_line
                for sentence in split_sentences(text, language)
            ]
            for of_line in texts
        ]
    encoded = iter(tokenizer.encode_batch([*itertools.chain(*texts)]))
    found.inputs[key] += len(batch)
    for of_line, (_, (reason,)) in zip(texts, batch, strict=True):
        ids = [*filter(None, itertools.islice(encoded, len(of_line)))]
        if not ids:
            found.rejects[key][reason or "empty"] += 1
        found.texts[language] += ids or [None]


def _collect_pairs(
    batch: list[_Judged],
    unit: Unit,
    options: BuildOptions,
    tokenizer: Tokenizer,
    found: _Found,
) -> None:
    encoded = _encode_cells(batch, unit.pairs, tokenizer)
    separators, keys = tokenizer.special.separators, unit.keys
    for number, (_, reasons) in enumerate(batch):
        as_text: dict[str, TokenIds] = {}
        for pair, key, reason in zip(unit.pairs, keys, reasons, strict=True):
            found.inputs[key] += 1
            src, tgt = (encoded.get((number, language), []) for language in pair)
            reason = reason or _token_reason(src, tgt, options, separators)
            if reason:
                found.rejects[key][reason] += 1
            else:
                limit = options.max_side_tokens
                found.pairs[key].append((src[:limit], tgt[:limit]))
                as_text |= zip(pair, (src, tgt), strict=True)
        if options.parallel_as_text:
            _collect_sides(as_text, unit.pairs, found)


def _collect_sides(
    as_text: dict[str, TokenIds], pairs: Sequence[LanguagePair], found: _Found
) -> None:
    """Adds the sides of a line's kept pairs as text; a missing side ends a document."""
    for language in dict.fromkeys(itertools.chain(*pairs)):
        found.texts[language].append(as_text.get(language))
        found.inputs["mono", language] += language in as_text


def _encode_cells(
    batch: list[_Judged], pairs: Sequence[LanguagePair], tokenizer: Tokenizer
) -> dict[tuple[int, str], TokenIds]:
    """Returns the ids of the cells that a pair is still made of, by line, language."""
    texts = {
        (number, language): line[language][0]
        for number, (line, reasons) in enumerate(batch)
        for pair, reason in zip(pairs, reasons, strict=True)
        if reason is None
        for language in pair
    }
    encoded = tokenizer.encode_batch(list(texts.values()))
    return dict(zip(texts, encoded, strict=True))


def _token_reason(
    src: TokenIds, tgt: TokenIds, options: BuildOptions, separators: int
) -> str | None:
    any_length = sys.maxsize
    return pair_token_reason(
        src,
        tgt,
        row_length=any_length if options.cut_long_sides else options.row_length,
        max_side_tokens=(
            any_length if options.cut_long_sides else options.max_side_tokens
        ),
        max_length_ratio=options.max_length_ratio,
        separators=separators,
    )


def _part(
    key: StreamKey, found: _Found, options: BuildOptions, tokenizer: Tokenizer
) -> Part:
    shape = {"row_length": options.row_length, "max_pairs": options.max_pairs}
    special = tokenizer.special
    rows, left = pack(found.pairs[key], **shape, separators=special.separators)
    left_rows = best_fit(left, **shape, separators=special.separators)
    return Part(
        rows=lay_out(rows, special, **shape),
        left=lay_out(left_rows, special, **shape),
        inputs=found.inputs[key],
        rejects=found.rejects[key],
    )
