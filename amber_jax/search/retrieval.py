"""Sentence retrieval: how often a sentence's nearest neighbour is its translation.

Source: Artetxe & Schwenk 2019, "Massively Multilingual Sentence Embeddings" (the
Tatoeba test); Hu et al. 2020, "XTREME" (nearest neighbour by cosine).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from amber_jax.errors import UserError
from amber_jax.search.nearest import top_k_both_ways
from amber_jax.search.similarities import EXACT
from amber_jax.tasks import BOTH, DIRECTIONS


class Search(NamedTuple):
    """How translations are looked for; the first three as in `search.nearest`."""

    similarity: str = "cosine"
    neighbours: int = 0
    index: str = EXACT
    centred: bool = False  # subtract each side's mean vector first


class Found(NamedTuple):
    """The nearest sentence of the other side for each of N, [N] int32."""

    src_to_tgt: np.ndarray
    tgt_to_src: np.ndarray


def find_translations(src: np.ndarray, tgt: np.ndarray, search: Search) -> Found:
    """Returns the row of `tgt` nearest to each of `src`, and the other way round.

    Among equally near ones it is the lowest, as in `np.argmax`. A zero vector has
    cosine 0 with everything, so a collapsed encoder scores chance and never NaN.

    Args:
        src: [N, D], one vector per sentence, compared in float32.
        tgt: [N, D], row i translates row i of `src`.
        search: by which similarity.

    Raises:
        UserError: if the shapes differ, or as `nearest.top_k`.
    """
    if src.shape != tgt.shape:
        raise UserError(
            f"retrieval got vectors of shapes {list(src.shape)} and "
            f"{list(tgt.shape)}; wanted two equal shapes [sentences, size], "
            "one row per sentence and its translation"
        )
    if search.centred:
        src, tgt = centre(src), centre(tgt)
    forward, backward = top_k_both_ways(
        src,
        tgt,
        1,
        similarity=search.similarity,
        neighbours=search.neighbours,
        index=search.index,
    )
    return Found(forward.indices[:, 0], backward.indices[:, 0])


def accuracy(found: Found) -> dict[str, float]:
    """Returns {"xx_to_en": share, "en_to_xx": share} of own translations, in [0, 1].

    "xx" is the side `src`, "en" the side `tgt`, whatever language it is.
    """
    own = np.arange(len(found.src_to_tgt))
    return {
        "xx_to_en": float((found.src_to_tgt == own).mean()),
        "en_to_xx": float((found.tgt_to_src == own).mean()),
    }


def average(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Returns the mean over languages of both directions, and of the two ("both")."""
    means = {
        direction: float(np.mean([score[direction] for score in scores.values()]))
        for direction in DIRECTIONS
    }
    return means | {BOTH: sum(means.values()) / len(means)}


def embed_pairs(
    pairs: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    embed: Callable[[Sequence[str]], np.ndarray],
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields (language, vectors of its sentences, vectors of their translations).

    Args:
        pairs: {language: (sentences, translations)}.
        embed: sentences -> [M, ...] vectors, called once, with each sentence once:
            many-way tables repeat the pivot's.
    """
    places: dict[str, int] = {}
    for sides in pairs.values():
        for sentence in (*sides[0], *sides[1]):
            places.setdefault(sentence, len(places))
    everything = embed(list(places))
    for language, sides in pairs.items():
        src, tgt = (everything[[places[text] for text in side]] for side in sides)
        yield language, src, tgt


def centre(vectors: np.ndarray) -> np.ndarray:
    """Returns `vectors` [N, D] less their mean, float32."""
    vectors = np.asarray(vectors, np.float32)
    mean = vectors.mean(axis=0, keepdims=True, dtype=np.float64)
    return (vectors - mean).astype(np.float32)
