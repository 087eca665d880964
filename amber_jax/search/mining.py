"""Pairs of sentences that translate each other, by their vectors alone."""

from typing import NamedTuple

import numpy as np

from amber_jax.search.nearest import top_k_both_ways

MARGINS = {"ratio": "margin", "distance": "csls", "absolute": "cosine"}
"""The paper's names of margins, and the similarities of `nearest`."""


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
    neighbors: int,
    threshold: float | None,
    striped: bool = False,
) -> Mined:
    """The pairs whose sides are each other's best.

    With r(x) the mean cosine of x with its nearest vectors of the other side, the
    score is cos(x, y) / ((r(x) + r(y)) / 2) for "ratio", cos(x, y) less the same mean
    for "distance", and cos(x, y) for "absolute". Every vector is in one pair at most.

    Args:
        src: [N, D], any float type; a memory map is read in blocks, as is `tgt`.
        tgt: [M, D].
        margin: one of `MARGINS`.
        neighbors: vectors in the mean r.
        threshold: least score of a pair; None: all.
        striped: as in `nearest.top_k`.

    Raises:
        UserError: there are no vectors, or one is not finite.

    Source: Artetxe & Schwenk 2019, "Margin-based Parallel Corpus Mining".
    """
    forward, backward = top_k_both_ways(
        src,
        tgt,
        1,
        similarity=MARGINS[margin],
        neighbors=neighbors,
        striped=striped,
    )
    best = forward.indices[:, 0]
    # "csls" is twice the paper's distance.
    scores = forward.scores[:, 0] / (2 if margin == "distance" else 1)
    is_mutual = backward.indices[best, 0] == np.arange(len(best))
    if threshold is not None:
        is_mutual &= scores >= threshold
    src_rows = np.flatnonzero(is_mutual)
    src_rows = src_rows[np.argsort(-scores[src_rows], kind="stable")]
    return Mined(scores[src_rows], src_rows, best[src_rows])
