"""Pairs of sentences that translate each other, by their vectors alone."""

from typing import NamedTuple

import numpy as np

from amber_jax.search.nearest import top_k_both_ways

MARGINS = {"ratio": "margin", "distance": "csls", "absolute": "cosine"}
"""Names of the paper, and what `nearest` calls them."""


class Mined(NamedTuple):
    """Pairs in order of falling score; equal ones by their source."""

    scores: np.ndarray  # [P] float32
    src: np.ndarray  # [P] int, rows
    tgt: np.ndarray  # [P] int, rows


def mutual_best(
    src: np.ndarray,
    tgt: np.ndarray,
    *,
    margin: str,
    neighbours: int,
    threshold: float | None,
) -> Mined:
    """Returns the pairs whose sides are each other's best.

    With r(x) the mean cosine of x with its nearest vectors of the other side, the
    score is cos(x, y) / ((r(x) + r(y)) / 2) for "ratio", cos(x, y) less the same mean
    for "distance", and cos(x, y) for "absolute". Every vector is in one pair at most.

    Args:
        src: [N, D], any float type; a memory map is read in blocks, as is `tgt`.
        tgt: [M, D].
        margin: one of `MARGINS`.
        neighbours: vectors in the mean r.
        threshold: least score of a pair; None: all.

    Raises:
        UserError: there are no vectors, or one is not finite.

    Source: Artetxe & Schwenk 2019, "Margin-based Parallel Corpus Mining".
    """
    forward, backward = top_k_both_ways(
        src, tgt, 1, similarity=MARGINS[margin], neighbours=neighbours
    )
    best = forward.indices[:, 0]
    # Their "csls" is twice the distance.
    scores = forward.scores[:, 0] / (2 if margin == "distance" else 1)
    kept = backward.indices[best, 0] == np.arange(len(best))
    if threshold is not None:
        kept &= scores >= threshold
    places = np.flatnonzero(kept)
    places = places[np.argsort(-scores[places], kind="stable")]
    return Mined(scores[places], places, best[places])
