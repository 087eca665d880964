"""Why a line or a pair is left out; every reason is one word that gets counted."""

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from amber_jax.corpora.cleaning.lines import LineFilters
from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.cleaning.sides import are_copied
from amber_jax.corpora.text import LINE_CAP_BYTES, clean_line, clean_text, read_lines

HeldOut = frozenset[int]
# A cell's text if it can be used, and why not: the text of a cell that is left out for
# its language alone stays, to see whether it is the other side's.
Cleaned = tuple[str | None, str | None]

_CONLLU_TEXT = "# text"
_OF_LANGUAGE = frozenset({"other_script"})


class Screen:
    """What the cells and pairs of a corpus have to pass, one and all."""

    def __init__(
        self,
        *,
        max_bytes: int,
        cleaning: Cleaning,
        held_out: HeldOut = frozenset(),
    ):
        """Takes the longest line in bytes, what is asked for, and what is held out."""
        self._max_bytes = max_bytes
        self._held_out = held_out
        self._cleaning = cleaning
        self._filters = LineFilters(cleaning)

    def cell(self, raw: bytes, language: str) -> Cleaned:
        """Returns what `clean_line` does, normalized, or why the cell is left out."""
        text, reason = clean_line(raw, max_bytes=self._max_bytes)
        if text is None:
            return None, reason
        if form := self._cleaning.normalization:
            text = clean_text(unicodedata.normalize(form, text))
        if self._held_out and sentence_hash(text) in self._held_out:
            return None, "evaluation_sentence"
        reason = self._reason(text, language)
        return (text if reason in (None, *_OF_LANGUAGE) else None), reason

    def pair_reason(
        self, line: Mapping[str, Cleaned], languages: tuple[str, str]
    ) -> str | None:
        """Returns why two cells of a line make no pair, or None."""
        src, tgt = (line[language] for language in languages)
        reason = pair_text_reason(src, tgt)
        if reason in _OF_LANGUAGE:
            exchanged = zip((tgt[0], src[0]), languages, strict=True)
            fit = all(text and not self._reason(text, of) for text, of in exchanged)
            return "swapped_sides" if fit else reason
        if reason is None and self._cleaning.max_copied < 1:
            copied = are_copied(src[0], tgt[0], self._cleaning.max_copied)
            return "copied_sides" if copied else None
        return reason

    def _reason(self, text: str, language: str) -> str | None:
        return self._filters.reason(text, language)


def is_header(line: Mapping[str, Cleaned]) -> bool:
    """Returns whether every cell of a line is the code of its own language."""
    return all((text or "").lower() == code.lower() for code, (text, _) in line.items())


def pair_text_reason(src: Cleaned, tgt: Cleaned) -> str | None:
    """Returns why two screened sides make no pair, or None."""
    reason = src[1] or tgt[1]
    if "evaluation_sentence" in (src[1], tgt[1]):
        return "evaluation_sentence"
    if reason:
        return "empty_side" if reason == "empty" else reason
    return "identical_sides" if src[0] == tgt[0] else None


def pair_token_reason(
    src: list[int],
    tgt: list[int],
    *,
    row_length: int,
    max_side_tokens: int,
    max_length_ratio: float,
    separators: int = 1,
) -> str | None:
    """Returns why the token ids of two sides make no pair, or None.

    Args:
        src: ids of the source side, without special tokens.
        tgt: ids of the target side.
        row_length: `[CLS] src [SEP] tgt [SEP]` has to fit into this many tokens.
        max_side_tokens: longer sides are "too_long".
        max_length_ratio: of the longer to the shorter side, in tokens.
        separators: `[SEP]`s between the sides.
    """
    shorter, longer = sorted((len(src), len(tgt)))
    if not shorter:
        return "empty_side"
    if longer > max_side_tokens or shorter + longer + 2 + separators > row_length:
        return "too_long"
    return "length_ratio" if longer > max_length_ratio * shorter else None


def sentence_hash(text: str) -> int:
    """Returns 64 bits that agree for texts equal up to case, width and spacing."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    normal = " ".join(folded.split()).encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(normal, digest_size=8).digest(), "little")


def held_out_sentences(paths: Iterable[Path]) -> HeldOut:
    """Returns the hashes of all sentences in evaluation files.

    Every tab-separated cell of every line counts as a sentence; of CoNLL-U files the
    `# text = ` comments do.
    """
    return frozenset(
        sentence_hash(text) for path in paths for text in _sentences(Path(path))
    )


def _sentences(path: Path) -> Iterator[str]:
    conllu = ".conllu" in path.suffixes
    for raw in read_lines(path):
        for field in raw.split(b"\t"):
            text, _ = clean_line(field, max_bytes=LINE_CAP_BYTES)
            if not text:
                continue
            if not conllu:
                yield text
            elif text.startswith(_CONLLU_TEXT) and " = " in text:
                yield text.split(" = ", 1)[1]
