"""What every cell and every pair of a corpus has to pass before it is tokenized."""

import functools
import itertools
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amber_jax.corpora.cleaning.identification import Identification
from amber_jax.corpora.cleaning.lines import LineFilters
from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.cleaning.overlap import Overlap, sequence_hashes
from amber_jax.corpora.cleaning.sides import are_copied
from amber_jax.corpora.filters import (
    Cleaned,
    HeldOut,
    evaluation_texts,
    pair_text_reason,
    sentence_hash,
)
from amber_jax.corpora.text import clean_line, clean_lines, clean_text
from amber_jax.files import writing

_SENTENCES, _SEQUENCES = "held_out.npy", "held_out_sequences.npy"
_OF_LANGUAGE = frozenset({"other_script", "other_language"})


class Screen:
    """What the cells and pairs of a corpus have to pass, one and all."""

    def __init__(
        self,
        *,
        max_bytes: int,
        cleaning: Cleaning,
        held_out: HeldOut = frozenset(),
        sequences: np.ndarray | None = None,
    ):
        """Takes what is asked for.

        Args:
            max_bytes: of a line; longer ones are left out.
            cleaning: the config's.
            held_out: hashes of sentences that are left out.
            sequences: of their word sequences, see `overlap.sequence_hashes`.

        Raises:
            UserError: a library that the cleaning needs is not installed.
        """
        self._max_bytes = max_bytes
        self._held_out = held_out
        self._cleaning = cleaning
        words = cleaning.evaluation_words
        self._overlap = Overlap(words, sequences) if sequences is not None else None
        self._filters = LineFilters(cleaning)
        identifies = cleaning.language_threshold < 1
        self._identification = Identification() if identifies else None

    def cell(self, raw: bytes, language: str) -> Cleaned:
        """Returns what `clean_line` does, normalized, or why the cell is left out."""
        return self._judged(clean_line(raw, max_bytes=self._max_bytes), language)

    def cells(self, raws: Sequence[bytes], language: str) -> list[Cleaned]:
        """Returns `cell` of each line of a text."""
        cleaned = clean_lines(raws, max_bytes=self._max_bytes)
        if self._cleaning == Cleaning() and not self._held_out:
            return cleaned
        return [self._judged(cell, language) for cell in cleaned]

    def _judged(self, cleaned: Cleaned, language: str) -> Cleaned:
        text, reason = cleaned
        if text is None:
            return None, reason
        if form := self._cleaning.normalization:
            text = clean_text(unicodedata.normalize(form, text))
        if self._held_out and sentence_hash(text) in self._held_out:
            return None, "evaluation_sentence"
        if self._overlap and self._overlap.is_in(text):
            return None, "evaluation_overlap"
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
    directory: Path  # of what `store_held_out` wrote

    def load(self) -> Screen:
        """Returns the screen, of one build at a time the same one again."""
        return _loaded(self)


def store_held_out(
    directory: Path, held_out: HeldOut, paths: Iterable[Path], cleaning: Cleaning
) -> None:
    """Writes what must not get into a corpus.

    Args:
        directory: for the files.
        held_out: hashes of the sentences of evaluation files.
        paths: these files, read again if word sequences are asked for.
        cleaning: whether they are.
    """
    _write(directory / _SENTENCES, np.array(sorted(held_out), np.uint64))
    if words := cleaning.evaluation_words:
        texts = itertools.chain.from_iterable(map(evaluation_texts, paths))
        _write(directory / _SEQUENCES, sequence_hashes(texts, words))


def _write(path: Path, hashes: np.ndarray) -> None:
    with writing(path):
        np.save(path, hashes)


@functools.lru_cache(maxsize=1)
def _loaded(screening: Screening) -> Screen:
    cleaning, directory = screening.cleaning, screening.directory
    words = cleaning.evaluation_words
    return Screen(
        max_bytes=screening.max_bytes,
        cleaning=cleaning,
        held_out=frozenset(np.load(directory / _SENTENCES).tolist()),
        sequences=np.load(directory / _SEQUENCES) if words else None,
    )
