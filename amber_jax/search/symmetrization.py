"""Two one-directional word alignments combined into one.

`forward` [X, Y] bool holds the links chosen by source words, `backward` [X, Y] bool
those chosen by target words, both with source words as rows.
"""

import numpy as np

SYMMETRIZATIONS = (
    *("intersection", "union", "grow-diag-final", "grow-diag-final-and"),
    *("src-to-tgt", "tgt-to-src"),
)
ITERMAX = "itermax"
_ITERMAX_ALPHA = 0.9
_NEIGHBORS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def symmetrize(forward: np.ndarray, backward: np.ndarray, how: str) -> np.ndarray:
    """The links of both directions combined, [X, Y] bool.

    intersection  links chosen by both; few, mostly right
    union         links chosen by either; many
    src-to-tgt, tgt-to-src
                  one direction unchanged
    grow-diag-final
                  the intersection; then, repeatedly, links of the union next to a link
                  (diagonals count) that are the first of a word; then all links of
                  `forward`, and of `backward`, that are the first of a word
    grow-diag-final-and
                  as before, but in the last step the first of both words

    Links grow in the order of source words, then of target words, and links that have
    grown block others: with its sides exchanged, a pair can grow differently.

    Source: Koehn et al. 2005 (IWSLT), the pseudo-code of the Moses manual.
    """
    if how == "src-to-tgt":
        return forward
    if how == "tgt-to-src":
        return backward
    if how == "union":
        return forward | backward
    links = forward & backward
    if how == "intersection":
        return links
    _grow(links, forward | backward)
    for direction in (forward, backward):
        _finish(links, direction, both=how == "grow-diag-final-and")
    return links


def itermax(similarities: np.ndarray) -> np.ndarray:
    """The mutual best of similarities, twice, [X, Y] bool.

    First the links that are the best of their row and of their column. Then once more
    with similarities that are weighted: 0 where row and column both have a link, 0.9
    where one of them has, 1 where neither has. What is new is added, except where both
    have a link; nothing is, once all rows or all columns have one, or if there are two
    rows or columns at most. Of equals the first counts.

    Args:
        similarities: [X, Y], at least 0, so that a smaller weight means less.

    Source: Jalili Sabet et al. 2020 (SimAlign), Algorithm 1, with its program's two
    rounds and alpha 0.9.
    """
    links = _mutual_best(similarities)
    free_src, free_tgt = ~links.any(1), ~links.any(0)
    if min(similarities.shape) <= 2 or not (free_src.any() and free_tgt.any()):
        return links
    one_free = free_src[:, None] | free_tgt
    both_free = free_src[:, None] & free_tgt
    weights = np.where(both_free, 1, np.where(one_free, _ITERMAX_ALPHA, 0))
    return links | (_mutual_best(similarities * weights) & one_free)


def _mutual_best(scores: np.ndarray) -> np.ndarray:
    height, width = scores.shape
    best_tgt, best_src = scores.argmax(1), scores.argmax(0)
    return (best_tgt[:, None] == np.arange(width)) & (
        best_src == np.arange(height)[:, None]
    )


def _grow(links: np.ndarray, union: np.ndarray) -> None:
    """Adds to `links` neighbors in `union` that are the first link of a word."""
    linked_src, linked_tgt = links.any(1), links.any(0)
    height, width = links.shape
    candidates = np.argwhere(union).tolist()
    grown = True
    while grown:
        grown = False
        for i, j in candidates:
            if not links[i, j]:
                continue
            for down, right in _NEIGHBORS:
                y, x = i + down, j + right
                if not (0 <= y < height and 0 <= x < width and union[y, x]):
                    continue
                if not (linked_src[y] and linked_tgt[x]):
                    links[y, x] = linked_src[y] = linked_tgt[x] = grown = True


def _finish(links: np.ndarray, direction: np.ndarray, *, both: bool) -> None:
    """Adds links of `direction` whose words have none: either word, or both."""
    linked_src, linked_tgt = links.any(1), links.any(0)
    for i, j in np.argwhere(direction):
        unlinked = (not linked_src[i], not linked_tgt[j])
        if all(unlinked) if both else any(unlinked):
            links[i, j] = linked_src[i] = linked_tgt[j] = True
