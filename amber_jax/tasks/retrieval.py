"""Sentence retrieval: how often a sentence's nearest neighbour is its translation.

Source: Artetxe & Schwenk 2019, "Massively Multilingual Sentence Embeddings" (the
Tatoeba test); Hu et al. 2020, "XTREME" (nearest neighbour by cosine).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from amber_jax.errors import UserError

DEFAULT_BLOCK_SIZE = 4096  # queries compared at a time


def retrieval_accuracy(
    src: np.ndarray, tgt: np.ndarray, *, block_size: int = DEFAULT_BLOCK_SIZE
) -> dict[str, float]:
    """Returns {"src_to_tgt": share, "tgt_to_src": share}, both in [0, 1].

    Args:
        src: [N, D], one vector per sentence.
        tgt: [N, D], row i translates row i of `src`.
        block_size: queries compared at a time; the memory is block_size * N float32.

    Raises:
        UserError: as `retrieval_hits`.
    """
    forward = retrieval_hits(src, tgt, block_size=block_size)
    backward = retrieval_hits(tgt, src, block_size=block_size)
    return {
        "src_to_tgt": float(forward.mean()),
        "tgt_to_src": float(backward.mean()),
    }


def retrieval_hits(
    queries: np.ndarray,
    candidates: np.ndarray,
    *,
    block_size: int = DEFAULT_BLOCK_SIZE,
) -> np.ndarray:
    """Returns where the candidate of greatest cosine is the query's own, [N] bool.

    Among equal cosines the lowest row wins, as in `np.argmax`. A zero vector has
    cosine 0 with everything, so a collapsed encoder scores chance and never NaN.

    Args:
        queries: [N, D], compared in float32.
        candidates: [N, D], row i is the answer to query i.
        block_size: queries compared at a time.

    Raises:
        UserError: if the shapes differ or hold no vector, or a number is not finite.
    """
    _check(queries, candidates)
    keys = _unit_rows(candidates)
    nearest = [
        np.argmax(_unit_rows(queries[start : start + block_size]) @ keys.T, axis=1)
        for start in range(0, len(queries), block_size)
    ]
    return np.concatenate(nearest) == np.arange(len(queries))


def score_languages(
    pairs: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    embed: Callable[[Sequence[str]], np.ndarray],
    *,
    centred: bool,
) -> dict[str, dict[str, float]]:
    """Returns {language: {"xx_to_en": share, "en_to_xx": share}}, in [0, 1].

    Args:
        pairs: {language: (sentences, translations)}; "en" in the result's names stands
            for the side of the translations.
        embed: sentences -> [N, D] vectors.
        centred: whether each side's mean vector is subtracted first.
    """
    # Many-way tables repeat the pivot's sentences: each is embedded once.
    places: dict[str, int] = {}
    for sides in pairs.values():
        for sentence in (*sides[0], *sides[1]):
            places.setdefault(sentence, len(places))
    everything = embed(list(places))
    scores = {}
    for language, sides in pairs.items():
        vectors = [everything[[places[text] for text in side]] for side in sides]
        if centred:
            vectors = [centre(side) for side in vectors]
        shares = retrieval_accuracy(*vectors)
        scores[language] = {
            "xx_to_en": shares["src_to_tgt"],
            "en_to_xx": shares["tgt_to_src"],
        }
    return scores


def average(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Returns the mean over languages of both directions, and of the two ("both")."""
    means = {
        direction: float(np.mean([score[direction] for score in scores.values()]))
        for direction in ("xx_to_en", "en_to_xx")
    }
    return means | {"both": (means["xx_to_en"] + means["en_to_xx"]) / 2}


def centre(vectors: np.ndarray) -> np.ndarray:
    """Returns `vectors` [N, D] less their mean, float32."""
    vectors = np.asarray(vectors, np.float32)
    mean = vectors.mean(axis=0, keepdims=True, dtype=np.float64)
    return (vectors - mean).astype(np.float32)


def _unit_rows(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float32)
    # Scaled first, so that no square overflows or vanishes.
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    vectors = vectors / np.where(largest > 0, largest, 1)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


def _check(queries: np.ndarray, candidates: np.ndarray) -> None:
    if queries.ndim != 2 or queries.shape != candidates.shape or 0 in queries.shape:
        raise UserError(
            f"retrieval got vectors of shapes {list(queries.shape)} and "
            f"{list(candidates.shape)}; wanted two equal shapes [sentences, size], "
            "one row per sentence and its translation"
        )
    if not (np.isfinite(queries).all() and np.isfinite(candidates).all()):
        raise UserError(
            "retrieval got a sentence vector with NaN or Inf; the encoder's weights "
            "are broken, evaluate an earlier checkpoint"
        )
