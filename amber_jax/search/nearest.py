"""Exact nearest neighbours among millions of vectors, in blocks, on the device.

Both sides stay on the host, a memory map if they are large, and meet block by block:
no array has more than block_size x block_size scores, however many vectors there are.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.errors import UserError
from amber_jax.search import faiss_index
from amber_jax.search.score_blocks import Block, Nearest, meet, nothing_yet
from amber_jax.search.similarities import EXACT, SIMILARITIES

DEFAULT_BLOCK_SIZE = 4096  # 64 MB of scores; best of 1024 to 8192 on two CPU cores


class _Side(NamedTuple):
    vectors: np.ndarray  # [N, D]
    density: np.ndarray  # [N] float32, mean cosine with the nearest of the other side


def top_k(
    queries: np.ndarray,
    candidates: np.ndarray,
    k: int,
    *,
    similarity: str = "cosine",
    neighbours: int = 0,
    index: str = EXACT,
    block_size: int = DEFAULT_BLOCK_SIZE,
) -> Nearest:
    """Returns the `k` best candidates of every query; fewer if there are fewer.

    Scores are float32, multiplied at the device's highest precision: a TPU would
    use bfloat16 otherwise, a GPU TF32, and both would confuse near neighbours.

    Args:
        queries: [N, D], any float type; only slices of it are read.
        candidates: [M, D], the same.
        k: how many to return.
        similarity: "cosine", where a zero vector has 0 with everything; "dot"; or,
            from cosines and the mean cosine r of a vector with its nearest vectors
            of the other side, "csls", 2 cos(x, y) - r(x) - r(y), or "margin",
            cos(x, y) / ((r(x) + r(y)) / 2). Both lower the hubs, vectors near to
            everything.
        neighbours: vectors in the mean r; 0: 10 for "csls", 4 for "margin".
        index: "exact", or a faiss factory string such as "Flat" or "IVF1024,Flat".
            With faiss all candidates are held in memory, and any index but "Flat"
            may miss a neighbour; a place left empty has index -1 and score -inf.
        block_size: vectors of a side on the device at a time. An accelerator is
            busier with 16384, which takes 1 GB for the scores of a block.

    Raises:
        UserError: shapes do not fit, a number is not finite, a setting is unknown,
            or faiss is wanted and not there, or for another similarity than
            "cosine" and "dot".

    Source: CSLS: Conneau et al. 2018, "Word Translation Without Parallel Data";
    margin: Artetxe & Schwenk 2019, "Margin-based Parallel Corpus Mining".
    """
    _check(queries, candidates, k, similarity, neighbours, block_size)
    if index != EXACT:
        return _search_faiss(queries, candidates, k, similarity, index)
    src, tgt = _with_densities(queries, candidates, similarity, neighbours, block_size)
    search = functools.partial(_sweep, similarity=similarity, block_size=block_size)
    there, _ = search(src, tgt, k, both=False)
    return there


def top_k_both_ways(
    src: np.ndarray,
    tgt: np.ndarray,
    k: int,
    *,
    similarity: str = "cosine",
    neighbours: int = 0,
    index: str = EXACT,
    block_size: int = DEFAULT_BLOCK_SIZE,
) -> tuple[Nearest, Nearest]:
    """Returns (the best `tgt` of every `src`, the best `src` of every `tgt`).

    As `top_k` in each direction, at little more than the cost of one: every block of
    scores is computed once and read along its rows and its columns. So a pair has
    the same score in both answers.
    """
    _check(src, tgt, k, similarity, neighbours, block_size)
    if index != EXACT:
        return (
            _search_faiss(src, tgt, k, similarity, index),
            _search_faiss(tgt, src, k, similarity, index),
        )
    sides = _with_densities(src, tgt, similarity, neighbours, block_size)
    return _sweep(*sides, k, similarity=similarity, both=True, block_size=block_size)


def _check(
    src: np.ndarray,
    tgt: np.ndarray,
    k: int,
    similarity: str,
    neighbours: int,
    block_size: int,
) -> None:
    fit = src.ndim == tgt.ndim == 2 and src.shape[1] == tgt.shape[1]
    if not fit or 0 in (*src.shape, *tgt.shape):
        raise UserError(
            f"nearest neighbours got vectors of shapes {list(src.shape)} and "
            f"{list(tgt.shape)}; wanted two shapes [vectors, size] of one size and "
            "at least one vector"
        )
    if k < 1 or neighbours < 0 or block_size < 1:
        raise UserError(
            f"nearest neighbours: k is {k}, block_size is {block_size} and neighbours "
            f"is {neighbours}; wanted two positive numbers and one not negative"
        )
    if similarity not in SIMILARITIES:
        raise UserError(
            f"similarity is {similarity!r}, not one of {', '.join(SIMILARITIES)}"
        )
    for side in (src, tgt):
        for start in range(0, len(side), block_size):
            if not np.isfinite(side[start : start + block_size]).all():
                raise UserError(
                    "nearest neighbours got a vector with NaN or Inf; the encoder's "
                    "weights are broken, use an earlier checkpoint"
                )


def _with_densities(
    src: np.ndarray, tgt: np.ndarray, similarity: str, neighbours: int, block_size: int
) -> tuple[_Side, _Side]:
    sides = [_Side(side, np.zeros(len(side), np.float32)) for side in (src, tgt)]
    neighbours = neighbours or SIMILARITIES[similarity].neighbors
    if not SIMILARITIES[similarity].is_product:
        found = _sweep(
            *sides,
            neighbours,
            similarity="cosine",
            both=True,
            block_size=block_size,
        )
        sides = [
            side._replace(density=nearest.scores.mean(axis=1))
            for side, nearest in zip(sides, found, strict=True)
        ]
    return sides[0], sides[1]


def _sweep(
    src: _Side, tgt: _Side, k: int, *, similarity: str, both: bool, block_size: int
) -> tuple[Nearest, Nearest]:
    """Returns the best of every row, and of every column if `both`, else nothing."""
    src_size = _block_rows(len(src.vectors), block_size)
    tgt_size = _block_rows(len(tgt.vectors), block_size)
    starts = range(0, len(tgt.vectors), tgt_size)
    backward_k = min(k, len(src.vectors)) if both else 0
    backward = [nothing_yet(tgt_size, backward_k) for _ in starts]
    forward, latest = [], None
    for row in range(0, len(src.vectors), src_size):
        rows = _load(src, row, src_size)
        best = nothing_yet(src_size, min(k, len(tgt.vectors)))
        for number, column in enumerate(starts):
            columns = _load(tgt, column, tgt_size)
            # While these vectors travelled the blocks before were multiplied; without
            # the wait the host would send all of them ahead.
            jax.block_until_ready(latest)
            best, backward[number] = meet(
                rows, columns, best, backward[number], similarity=similarity
            )
            latest = best
        forward.append(best)
    return _gather(forward, len(src.vectors)), _gather(backward, len(tgt.vectors))


def _block_rows(rows: int, block_size: int) -> int:
    """Returns a block's rows: powers of two for small sides, so that few compile."""
    return min(block_size, 1 << (rows - 1).bit_length())


def _load(side: _Side, start: int, size: int) -> Block:
    vectors = np.asarray(side.vectors[start : start + size], np.float32)
    empty = size - len(vectors)
    return Block(
        jnp.asarray(np.pad(vectors, ((0, empty), (0, 0)))),
        jnp.asarray(np.pad(side.density[start : start + size], (0, empty))),
        np.int32(start),
        np.int32(len(vectors)),
    )


def _gather(parts: list[Nearest], rows: int) -> Nearest:
    scores, indices = zip(*jax.device_get(parts), strict=True)
    return Nearest(np.concatenate(scores)[:rows], np.concatenate(indices)[:rows])


def _search_faiss(
    queries: np.ndarray, candidates: np.ndarray, k: int, similarity: str, index: str
) -> Nearest:
    if not SIMILARITIES[similarity].is_product:
        raise UserError(
            f"index {index!r} finds the greatest inner products, and similarity "
            f"{similarity!r} is none; use index {EXACT!r}, or similarity 'cosine'"
        )
    found = faiss_index.search(
        queries,
        candidates,
        min(k, len(candidates)),
        index=index,
        normalise=SIMILARITIES[similarity].unit_vectors,
    )
    return Nearest(*found)
