"""Two one-directional word alignments made one.

`forward` [X, Y] bool holds the links that source words chose, `backward` [X, Y] bool
those that target words chose, both with source words as rows.
"""

import numpy as np

SYMMETRIZATIONS = (
    *("intersection", "union", "grow-diag-final", "grow-diag-final-and"),
    *("src-to-tgt", "tgt-to-src"),
)
_NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def symmetrise(forward: np.ndarray, backward: np.ndarray, how: str) -> np.ndarray:
    """Returns the links, [X, Y] bool, that `how` makes of both directions.

    intersection  what both chose; few links, mostly right
    union         what either chose; many links
    src-to-tgt, tgt-to-src
                  one direction as it is
    grow-diag-final
                  the intersection; then, again and again, links of the union next to
                  a link (diagonals count) that give a word its first one; then all
                  links of `forward`, and of `backward`, that give a word its first one
    grow-diag-final-and
                  as before, but the last step wants both words without a link

    Links grow in the order of source words, then of target words, and what has grown
    stands in the way of others: with its sides exchanged, a pair can grow differently.

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


def _grow(links: np.ndarray, union: np.ndarray) -> None:
    """Adds to `links` the neighbours in `union` that give a word its first link."""
    linked_src, linked_tgt = links.any(1), links.any(0)
    height, width = links.shape
    places = np.argwhere(union).tolist()
    grown = True
    while grown:
        grown = False
        for i, j in places:
            if not links[i, j]:
                continue
            for down, right in _NEIGHBOURS:
                y, x = i + down, j + right
                if not (0 <= y < height and 0 <= x < width and union[y, x]):
                    continue
                if not (linked_src[y] and linked_tgt[x]):
                    links[y, x] = linked_src[y] = linked_tgt[x] = grown = True


def _finish(links: np.ndarray, direction: np.ndarray, *, both: bool) -> None:
    """Adds the links of `direction` at words without one: either word, or both."""
    linked_src, linked_tgt = links.any(1), links.any(0)
    for i, j in np.argwhere(direction):
        free = (not linked_src[i], not linked_tgt[j])
        if all(free) if both else any(free):
            links[i, j] = linked_src[i] = linked_tgt[j] = True
