"""A unit's lines in, packed rows and counts out.

`process_unit` is pure, so units may run in any process, in any order, on any machine;
results are put together in unit order.
"""

import contextlib
import gc
import itertools
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.filters import pair_token_reason
from amber_jax.corpora.packing import (
    Pair,
    TokenIds,
    best_fit,
    lay_out,
    pack,
    text_pairs,
)
from amber_jax.corpora.screening import Screen
from amber_jax.corpora.sentences import split_sentences
from amber_jax.corpora.sources import LanguagePair
from amber_jax.corpora.units import JudgedLine, LeftOut, StreamKey, Unit, judged_lines
from amber_jax.tokenization.tokenizer import Tokenizer

_BATCH_LINES = 256  # lines tokenized together


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


def process_unit(
    unit: Unit,
    options: BuildOptions,
    tokenizer: Tokenizer,
    screen: Screen,
    left_out: LeftOut,
) -> dict[StreamKey, Part]:
    """Returns the rows, leftovers and counts that a unit adds to each stream."""
    content = _UnitContent()
    lines = judged_lines(unit, screen, left_out)
    with _no_collector():
        while batch := list(itertools.islice(lines, _BATCH_LINES)):
            if unit.pairs:
                _collect_pairs(batch, unit, options, tokenizer, content)
            else:
                _collect_text(batch, unit.columns[0], options, tokenizer, content)
        max_piece = (options.row_length - 2 - tokenizer.special.separators) // 2
        for language, texts in content.texts.items():
            content.pairs["mono", language] = text_pairs(texts, max_piece)
        keys = sorted(content.inputs)
        return {key: _part(key, content, options, tokenizer) for key in keys}


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Keeps Python's collector from walking the ids of each line again and again."""
    enabled = gc.isenabled()
    gc.disable()  # ids form no cycles
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass
class _UnitContent:
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


def _collect_text(
    batch: list[JudgedLine],
    language: str,
    options: BuildOptions,
    tokenizer: Tokenizer,
    content: _UnitContent,
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
    content.inputs[key] += len(batch)
    for of_line, (_, (reason,)) in zip(texts, batch, strict=True):
        ids = [*filter(None, itertools.islice(encoded, len(of_line)))]
        if not ids:
            content.rejects[key][reason or "empty"] += 1
        content.texts[language] += ids or [None]


def _collect_pairs(
    batch: list[JudgedLine],
    unit: Unit,
    options: BuildOptions,
    tokenizer: Tokenizer,
    content: _UnitContent,
) -> None:
    encoded = _encode_cells(batch, unit.pairs, tokenizer)
    separators, keys = tokenizer.special.separators, unit.keys
    for number, (_, reasons) in enumerate(batch):
        as_text: dict[str, TokenIds] = {}
        for pair, key, reason in zip(unit.pairs, keys, reasons, strict=True):
            content.inputs[key] += 1
            src, tgt = (encoded.get((number, language), []) for language in pair)
            reason = reason or _token_reason(src, tgt, options, separators)
            if reason:
                content.rejects[key][reason] += 1
            else:
                limit = options.max_side_tokens
                content.pairs[key].append((src[:limit], tgt[:limit]))
                as_text |= zip(pair, (src, tgt), strict=True)
        if options.parallel_as_text:
            _collect_sides(as_text, unit.pairs, content)


def _collect_sides(
    as_text: dict[str, TokenIds], pairs: Sequence[LanguagePair], content: _UnitContent
) -> None:
    """Adds the sides of a line's kept pairs as text; a missing side ends a document."""
    for language in dict.fromkeys(itertools.chain(*pairs)):
        content.texts[language].append(as_text.get(language))
        content.inputs["mono", language] += language in as_text


def _encode_cells(
    batch: list[JudgedLine], pairs: Sequence[LanguagePair], tokenizer: Tokenizer
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
    key: StreamKey, content: _UnitContent, options: BuildOptions, tokenizer: Tokenizer
) -> Part:
    shape = {"row_length": options.row_length, "max_pairs": options.max_pairs}
    special = tokenizer.special
    rows, left = pack(content.pairs[key], **shape, separators=special.separators)
    left_rows = best_fit(left, **shape, separators=special.separators)
    return Part(
        rows=lay_out(rows, special, **shape),
        left=lay_out(left_rows, special, **shape),
        inputs=content.inputs[key],
        rejects=content.rejects[key],
    )
