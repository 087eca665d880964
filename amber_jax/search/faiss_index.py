"""Nearest neighbours by a faiss index: optional, for a search that need not be exact.

`pip install 'amber_jax[faiss]'` brings the library.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from amber_jax.errors import UserError, from_extra

_BLOCK_SIZE = 16_384  # vectors handed over at a time
_TRAINING_ROWS = 262_144  # as faiss samples for 1,024 lists


def search(
    queries: np.ndarray,
    candidates: np.ndarray,
    k: int,
    *,
    index: str,
    normalise: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (inner products [N, k] float32, candidates [N, k] int32), best first.

    Equal products come by lower candidate, as far as the index found them. Where it
    found fewer than `k`, the product is -inf and the candidate -1.

    Args:
        queries: [N, D], read in slices.
        candidates: [M, D], read in slices, all of them held by the index.
        k: at most M.
        index: faiss factory string, "Flat" for the exact one.
        normalise: whether every vector is scaled to length 1 first: cosines.

    Raises:
        UserError: faiss is not there, or does not know or cannot build the index.
    """
    faiss = library()
    try:
        built = faiss.index_factory(
            candidates.shape[1], index, faiss.METRIC_INNER_PRODUCT
        )
        if not built.is_trained:
            step = -(-len(candidates) // _TRAINING_ROWS)
            built.train(_prepared(candidates[::step], normalise))
        for block in _blocks(candidates, normalise):
            built.add(block)
        found = [built.search(block, k) for block in _blocks(queries, normalise)]
    except RuntimeError as error:
        reason = str(error).splitlines()[0].split(": ")[-1]
        raise UserError(
            f"faiss cannot build index {index!r} of {len(candidates)} vectors "
            f"({reason}); wanted a factory string such as 'Flat' or 'IVF1024,Flat', "
            "with more vectors than lists"
        ) from error
    scores, indices = (np.concatenate(parts) for parts in zip(*found, strict=True))
    scores = np.where(indices < 0, -np.inf, scores).astype(np.float32)
    order = np.lexsort((indices, -scores))
    scores = np.take_along_axis(scores, order, axis=1)
    return scores, np.take_along_axis(indices, order, axis=1).astype(np.int32)


def library() -> Any:
    """Returns the faiss module.

    Raises:
        UserError: it cannot be imported.
    """
    with from_extra("faiss", "this index is one of faiss", "use index 'exact'"):
        import faiss
    return faiss


def _blocks(vectors: np.ndarray, normalise: bool) -> Iterator[np.ndarray]:
    for start in range(0, len(vectors), _BLOCK_SIZE):
        yield _prepared(vectors[start : start + _BLOCK_SIZE], normalise)


def _prepared(vectors: np.ndarray, normalise: bool) -> np.ndarray:
    vectors = np.ascontiguousarray(vectors, np.float32)
    if not normalise:
        return vectors
    # Scaled first, so that no square overflows or vanishes.
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    vectors = vectors / np.where(largest > 0, largest, 1)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)
