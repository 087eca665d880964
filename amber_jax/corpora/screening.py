"""What every cell and every pair of a corpus has to pass before it is tokenized."""

import functools
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amber_jax.corpora.cleaning.identification import Identification
from amber_jax.corpora.cleaning.lines import LineFilters
from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.cleaning.sides import are_copied
from amber_jax.corpora.filters import (
    Cleaned,
    HeldOut,
    pair_text_reason,
    sentence_hash,
)
from amber_jax.corpora.text import clean_line, clean_text

_OF_LANGUAGE = frozenset({"other_script", "other_language"})


class Screen:
    """What the cells and pairs of a corpus have to pass, one and all."""

    def __init__(
        self,
        *,
        max_bytes: int,
        cleaning: Cleaning,
        held_out: HeldOut = frozenset(),
        languages: Collection[str] = (),
    ):
        """Takes what is asked for.

        Args:
            max_bytes: of a line; longer ones are left out.
            cleaning: the config's.
            held_out: hashes of sentences that are left out.
            languages: of the corpus; a line is identified as one of them.

        Raises:
            UserError: a library that the cleaning needs is not installed.
        """
        self._max_bytes = max_bytes
        self._held_out = held_out
        self._cleaning = cleaning
        self._filters = LineFilters(cleaning)
        identifies = cleaning.language_threshold < 1
        self._identification = Identification(languages) if identifies else None

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
        if reason := self._filters.reason(text, language):
            return reason
        cleaning = self._cleaning
        if self._identification and len(text) >= cleaning.language_min_characters:
            threshold = cleaning.language_threshold
            other = self._identification.is_other(text, language, threshold)
            return "other_language" if other else None
        return None


@dataclass(frozen=True)
class Screening:
    """What a worker process needs to make the `Screen` of a build."""

    max_bytes: int
    cleaning: Cleaning
    held_out: Path  # .npy of `filters.HeldOut`
    languages: tuple[str, ...]

    def load(self) -> Screen:
        """Returns the screen, of one build at a time the same one again."""
        return _loaded(self)


@functools.lru_cache(maxsize=1)
def _loaded(screening: Screening) -> Screen:
    return Screen(
        max_bytes=screening.max_bytes,
        cleaning=screening.cleaning,
        held_out=frozenset(np.load(screening.held_out).tolist()),
        languages=screening.languages,
    )
