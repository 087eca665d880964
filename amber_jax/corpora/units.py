"""The unit of work: a slice of one input in, packed rows and counts out.

`process_unit` is pure, so units may run in any process, in any order, on any machine;
results are put together in unit order.
"""

import bisect
import itertools
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from amber_jax.corpora.filters import (
    Cleaned,
    HeldOut,
    is_header,
    pair_text_reason,
    pair_token_reason,
    screen,
)
from amber_jax.corpora.packing import (
    Pair,
    TokenIds,
    best_fit,
    lay_out,
    pack,
    text_pairs,
)
from amber_jax.corpora.plain import PlainFile, Slice, read_slice
from amber_jax.corpora.sources import LanguagePair
from amber_jax.corpora.text import LINE_CAP_BYTES
from amber_jax.tokenization.tokenizer import Tokenizer

SAMPLED_SHARE = 100  # one block in so many tells what to expect
_BATCH_LINES = 256  # lines tokenized together
_MOST_UNITS = 1 << 32  # of a source

StreamKey = tuple[str, str]  # ("pair", "en-fr") or ("mono", "en")
Line = dict[str, Cleaned]  # language -> its screened cell


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


@dataclass(frozen=True)
class Unit:
    """A slice of a table: the same lines of each of its files."""

    number: int  # of `unit_number`
    slices: tuple[Slice, ...]
    columns: tuple[str, ...]  # tab-separated when they are more than the files
    pairs: tuple[LanguagePair, ...]  # none: the table is running text

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
    unit: Unit, options: BuildOptions, tokenizer: Tokenizer, held_out: HeldOut
) -> dict[StreamKey, Part]:
    """Returns the rows, leftovers and counts that a unit adds to each stream."""
    found = _Found()
    lines = _lines(unit, options.max_line_bytes, held_out)
    while batch := list(itertools.islice(lines, _BATCH_LINES)):
        if unit.pairs:
            _collect_pairs(batch, unit.pairs, options, tokenizer, found)
        else:
            _collect_text(batch, unit.columns[0], tokenizer, found)
    max_piece = (options.row_length - 2 - tokenizer.special.separators) // 2
    for language, texts in found.texts.items():
        found.pairs["mono", language] = text_pairs(texts, max_piece)
    return {key: _part(key, found, options, tokenizer) for key in sorted(found.inputs)}


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


def _lines(unit: Unit, max_bytes: int, held_out: HeldOut) -> Iterator[Line | str]:
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
                language: screen(cell, max_bytes=max_bytes, held_out=held_out)
                for language, cell in zip(unit.columns, fields, strict=True)
                if language in wanted
            }
            yield "header" if unit.pairs and is_header(line) else line


def _collect_text(
    batch: list[Line | str], language: str, tokenizer: Tokenizer, found: _Found
) -> None:
    key = ("mono", language)
    cells = [line[language] for line in batch]
    encoded = iter(tokenizer.encode_batch([text for text, _ in cells if text]))
    found.inputs[key] += len(cells)
    for text, reason in cells:
        ids = next(encoded) if text else []
        if not ids:
            found.rejects[key][reason or "empty"] += 1
        found.texts[language].append(ids or None)


def _collect_pairs(
    batch: list[Line | str],
    pairs: Sequence[LanguagePair],
    options: BuildOptions,
    tokenizer: Tokenizer,
    found: _Found,
) -> None:
    encoded = _encode_cells(batch, tokenizer)
    for number, line in enumerate(batch):
        as_text: dict[str, TokenIds] = {}
        for src_lang, tgt_lang in pairs:
            key = ("pair", f"{src_lang}-{tgt_lang}")
            found.inputs[key] += 1
            src, tgt = encoded.get((number, src_lang)), encoded.get((number, tgt_lang))
            reason = (
                line
                if isinstance(line, str)
                else (
                    pair_text_reason(line[src_lang], line[tgt_lang])
                    or _token_reason(src, tgt, options, tokenizer.special.separators)
                )
            )
            if reason:
                found.rejects[key][reason] += 1
            else:
                limit = options.max_side_tokens
                found.pairs[key].append((src[:limit], tgt[:limit]))
                as_text |= {src_lang: src, tgt_lang: tgt}
        if options.parallel_as_text:
            _collect_sides(as_text, pairs, found)


def _collect_sides(
    as_text: dict[str, TokenIds], pairs: Sequence[LanguagePair], found: _Found
) -> None:
    """Adds the sides of a line's kept pairs as text; a missing side ends a document."""
    for language in dict.fromkeys(itertools.chain(*pairs)):
        found.texts[language].append(as_text.get(language))
        found.inputs["mono", language] += language in as_text


def _encode_cells(
    batch: list[Line | str], tokenizer: Tokenizer
) -> dict[tuple[int, str], TokenIds]:
    places = {
        (number, language): cell[0]
        for number, line in enumerate(batch)
        if isinstance(line, dict)
        for language, cell in line.items()
        if cell[0]
    }
    encoded = tokenizer.encode_batch(list(places.values()))
    return dict(zip(places, encoded, strict=True))


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
