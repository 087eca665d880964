"""The text a vocabulary is trained on: languages smoothed, drawn by seed.

Files are read twice, to count and to pick, so that memory holds only the sample.
"""

import collections
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amber_jax.corpora.conversion import Conversion
from amber_jax.corpora.sampling import ALPHA, smoothed_rates
from amber_jax.corpora.sources import Converted, TextSource
from amber_jax.corpora.text import clean_line, read_lines, read_many_way
from amber_jax.errors import UserError
from amber_jax.ranges import SEED, whole
from amber_jax.storage import location
from amber_jax.tokenization.sentencepiece import COVERAGE, MAX_SENTENCE_BYTES

VOCABULARY_RANGES = {
    "languages": [str],
    "vocab_size": whole(1, 2**24),
    "sentences": whole(1),
    "alpha": ALPHA,
    "seed": SEED,
    "character_coverage": COVERAGE,
    "byte_fallback": bool,
}

_PROBES = 1000  # sentences of a language that show how a vocabulary does

_Sentence = tuple[str, str | None, str | None]  # language, text, reject reason


@dataclass(frozen=True)
class Sample:
    """Sentences drawn from all languages, and what they were drawn from."""

    sentences: list[str]
    available: dict[str, int]  # usable sentences of each language
    drawn: dict[str, int]
    rejects: dict[str, int]  # lines of each reject reason
    empty: list[Path]  # files without a line of text
    probes: dict[str, list[str]]  # some of the sentences of each language


def sample_text(
    files: Sequence[TextSource],
    many_way: Sequence[Path],
    *,
    sentences: int,
    alpha: float,
    seed: int,
    languages: Collection[str] = (),
) -> Sample:
    """Returns about `sentences` sentences, language shares p ∝ n^alpha.

    A small language is repeated to reach its share. Equal files and arguments give
    equal sentences in equal order.

    Args:
        files: text of one language each, one sentence a line, or converted to that.
        many_way: TSV tables; each column is text of its language.
        sentences: size of the sample, at least 1.
        alpha: 1 keeps the languages' natural shares, 0 makes them equal.
        seed: of the draw.
        languages: those to take; empty: all.

    Raises:
        UserError: no input, a language without a usable line, an unreadable file.
    """
    available, rejects = _count(files, many_way, languages)
    positions = draw_positions(available, sentences=sentences, alpha=alpha, seed=seed)
    sentences, probes = _draw(_pick(_read(files, many_way), positions), positions)
    return Sample(
        sentences=sentences,
        available=available,
        drawn={language: len(chosen) for language, chosen in positions.items()},
        rejects=rejects,
        empty=[
            path
            for path, lines in (
                *((source.path, _lines(source)) for source in files),
                *((path, read_many_way(path)[1]) for path in many_way),
            )
            if next(iter(lines), None) is None
        ],
        probes=probes,
    )


def configured_sample(config: Mapping[str, Any]) -> Sample:
    """Returns the sample of a config of `configs/tokenizer.py`'s kind.

    Raises:
        UserError: as `sample_text`.
    """
    return sample_text(
        [
            named
            if isinstance(named, TextSource)
            else TextSource(named[0], location(named[1]))
            for named in config["files"]
        ],
        [location(path) for path in config["many_way"]],
        sentences=config["sentences"],
        alpha=config["alpha"],
        seed=config["seed"],
        languages=config["languages"],
    )


def draw_positions(
    available: Mapping[str, int], *, sentences: int, alpha: float, seed: int
) -> dict[str, np.ndarray]:
    """Returns which sentences of each language to take: sorted int64 positions.

    A language whose share is above what it has is taken whole as often as it fits;
    no position occurs twice before all have occurred once.

    Args:
        available: number of sentences of each language, all > 0.
        sentences: sum of the shares.
        alpha: smoothing exponent, see `sampling.smoothed_rates`.
        seed: each language draws from its own stream of it.
    """
    rates = smoothed_rates(available, alpha)
    drawn = {}
    for language, count in available.items():
        share = max(1, round(rates[language] * sentences))
        rng = np.random.default_rng([seed, *language.encode("utf-8")])
        part = rng.choice(count, share % count, replace=False, shuffle=False)
        whole = np.tile(np.arange(count), share // count)
        drawn[language] = np.sort(np.concatenate([whole, part]))
    return drawn


def _read(files: Sequence[TextSource], tables: Sequence[Path]) -> Iterator[_Sentence]:
    for source in files:
        for raw in _lines(source):
            yield source.language, *clean_line(raw, max_bytes=MAX_SENTENCE_BYTES)
    for path in tables:
        for row in read_many_way(path)[1]:
            for language, text in row.items():
                raw = text.encode("utf-8")
                yield language, *clean_line(raw, max_bytes=MAX_SENTENCE_BYTES)


def _lines(source: TextSource) -> Iterator[bytes]:
    if not isinstance(source, Converted):
        yield from read_lines(source.path)
        return
    for (cell,) in source.rows(Conversion()):
        if cell:  # else the end of a document
            yield cell.encode("utf-8", "replace")


def _count(
    files: Sequence[TextSource], tables: Sequence[Path], languages: Collection[str]
) -> tuple[dict[str, int], dict[str, int]]:
    named = [source.language for source in files]
    for path in tables:
        named += read_many_way(path)[0]
    available = {
        language: 0 for language in named if not languages or language in languages
    }
    rejects: collections.Counter[str] = collections.Counter()
    for language, text, reason in _read(files, tables):
        if language not in available:
            continue
        if text is None:
            rejects[reason] += 1
        else:
            available[language] += 1
    _require_text({**dict.fromkeys(languages, 0), **available})
    return available, dict(rejects)


def _require_text(available: Mapping[str, int]) -> None:
    if not available:
        raise UserError("no text to train on: name inputs in files or many_way")
    empty = [language for language, count in available.items() if not count]
    if empty:
        raise UserError(
            f"no usable sentence of {', '.join(empty)} in the config's files; "
            "correct the paths or leave the language out"
        )


def _draw(
    picked: Iterator[tuple[str, str]], positions: Mapping[str, np.ndarray]
) -> tuple[list[str], dict[str, list[str]]]:
    """Returns all texts, and evenly spaced ones of each language."""
    steps = {language: -(-len(at) // _PROBES) for language, at in positions.items()}
    seen = dict.fromkeys(positions, 0)
    sentences, probes = [], {language: [] for language in positions}
    for language, text in picked:
        sentences.append(text)
        if seen[language] % steps[language] == 0:
            probes[language].append(text)
        seen[language] += 1
    return sentences, probes


def _pick(
    read: Iterator[_Sentence], positions: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, str]]:
    """Yields (language, text) at each of its positions, once for each mention."""
    waiting = {language: iter(at.tolist()) for language, at in positions.items()}
    following = {language: next(at, -1) for language, at in waiting.items()}
    seen = dict.fromkeys(positions, 0)
    for language, text, _ in read:
        if text is None or language not in positions:
            continue
        while following[language] == seen[language]:
            yield language, text
            following[language] = next(waiting[language], -1)
        seen[language] += 1
