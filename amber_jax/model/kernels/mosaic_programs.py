"""The programs of the TPU's attention kernel: what each of them reads and writes.

A program has a row, a group of its heads and a block of tokens, and visits blocks of
the others. Scores lie with their keys down and their queries across, so that what a
query has one of, its highest score or its total, is a row. Vectors lie with their
tokens across as well: heads of 64 across would leave half of every tile empty.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl

from amber_jax.model.kernels.attention import LEAST_TOTAL, MASKED_SCORE
from amber_jax.model.kernels.dropout import kept_at, scale_of_kept
from amber_jax.model.rows import Mask, may_attend
from amber_jax.types import Array

_BLOCKS = (256, 128)  # tokens, the larger one that divides a row
_WIDTHS = (32, 64, 128, 256)  # of heads
# Of a core's own 16 MiB the backward program has at most: seven arrays of a row's
# vectors, twice because the next program's are on their way; and some eight of scores.
_ROW_BYTES = 1 << 19
_SCORES = 1 << 18


def takes(length: int, width: int, dtype: Any) -> bool:
    """Whether a core has room for rows of `length` tokens with heads of `width`."""
    fits = length * width * jnp.dtype(dtype).itemsize <= _ROW_BYTES
    return fits and length % min(_BLOCKS) == 0 and width in _WIDTHS


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the kernel knows before it runs."""

    batch: int
    heads: int
    length: int  # of a row
    width: int  # of a head
    dtype: np.dtype
    rate: float  # of dropout, where there are seeds

    @property
    def block(self) -> int:
        """The tokens of a block."""
        return next(size for size in _BLOCKS if self.length % size == 0)

    @property
    def blocks(self) -> int:
        """Those of a row."""
        return self.length // self.block

    @property
    def group(self) -> int:
        """The heads of a program."""
        most = min(_SCORES // self.block**2, _ROW_BYTES // self.row_bytes)
        divisors = (n for n in range(1, self.heads + 1) if self.heads % n == 0)
        return max(n for n in divisors if n <= most)

    @property
    def row_bytes(self) -> int:
        """Those of a head's vectors of one kind."""
        return self.length * self.width * self.dtype.itemsize

    @property
    def grid(self) -> tuple[int, int, int]:
        """Rows, groups of heads, and blocks."""
        return self.batch, self.heads // self.group, self.blocks

    @property
    def scale(self) -> float:
        """What products of queries and keys are multiplied with."""
        return self.width**-0.5


def forward(
    row: "Row",
    query_ref: Any,
    key_ref: Any,
    value_ref: Any,
    mixed_ref: Any,
    log_total_ref: Any,
) -> None:
    """Writes what a block of queries attends, and the log of its sums of exp.

    Args:
        row: of the program.
        query_ref: [G, K, T], a block, as is `mixed_ref`.
        key_ref: [G, K, L], a row, as is `value_ref`.
        value_ref: what is mixed.
        mixed_ref: written.
        log_total_ref: [G, 1, T] float32, written.
    """
    plan = row.plan
    query = query_ref[...]

    def visit(
        number: Array | int, so_far: tuple[Array, Array, Array]
    ) -> tuple[Array, Array, Array]:
        highest, total, mixed = so_far  # [G, 1, T] twice, [G, K, T]
        key, value = (_block(ref, number, plan) for ref in (key_ref, value_ref))
        pairs = row.pairs(queries=row.own, keys=number)
        scores = pairs.masked(_product(key, query, (1, 1)))  # [G, keys, queries]
        higher = jnp.maximum(highest, scores.max(1, keepdims=True))
        weights = jnp.exp(scores - higher)
        shrunk = jnp.exp(highest - higher)
        staying = pairs.dropped(weights).astype(value.dtype)
        return (
            higher,
            total * shrunk + weights.sum(1, keepdims=True),
            mixed * shrunk + _product(value, staying, (2, 1)),
        )

    numbers = (plan.group, 1, plan.block)
    highest, total, mixed = row.over_visited(
        visit,
        (
            jnp.full(numbers, MASKED_SCORE / 2, jnp.float32),
            jnp.zeros(numbers, jnp.float32),
            jnp.zeros((plan.group, plan.width, plan.block), jnp.float32),
        ),
    )
    total = jnp.maximum(total, LEAST_TOTAL)
    mixed_ref[...] = (mixed / total).astype(mixed_ref.dtype)
    log_total_ref[...] = highest + jnp.log(total)


def backward(
    row: "Row",
    query_ref: Any,
    key_ref: Any,
    value_ref: Any,
    grad_ref: Any,
    log_total_ref: Any,
    weighted_ref: Any,
    by_ref: Any,
    by_query_ref: Any,
) -> None:
    """Writes the gradients of a block of keys and values, and after the last, queries.

    Args:
        row: of the program.
        query_ref: [G, K, L], a row, as is `grad_ref`.
        key_ref: [G, K, T], a block, as is `value_ref`.
        value_ref: what was mixed.
        grad_ref: of what was mixed.
        log_total_ref: [G, blocks, 1, T] float32, as is the next.
        weighted_ref: the product of `grad_ref` with what was mixed.
        by_ref: [3, G, K, L], the row's gradients, written.
        by_query_ref: [blocks, G, K, T] float32, what queries have from keys so far.
    """
    plan = row.plan
    key, value = key_ref[...], value_ref[...]

    @pl.when(row.own == 0)
    def _() -> None:
        by_query_ref[...] = jnp.zeros_like(by_query_ref)

    def visit(number: Array | int, so_far: tuple[Array, Array]) -> tuple[Array, Array]:
        by_key, by_value = so_far  # [G, K, T]
        query, grad = (_block(ref, number, plan) for ref in (query_ref, grad_ref))
        pairs = row.pairs(queries=number, keys=row.own)
        scores = pairs.masked(_product(key, query, (1, 1)))  # [G, keys, queries]
        probs = jnp.exp(scores - log_total_ref[:, number])
        staying = pairs.dropped(probs)
        by_scores = staying * _product(value, grad, (1, 1))
        by_scores -= probs * weighted_ref[:, number]
        by_scores = (by_scores * plan.scale).astype(key.dtype)
        by_query_ref[number] += _product(key, by_scores, (2, 1))
        return (
            by_key + _product(query, by_scores, (2, 2)),
            by_value + _product(grad, staying.astype(key.dtype), (2, 2)),
        )

    zeros = jnp.zeros(key.shape, jnp.float32)
    for which, gradient in enumerate(row.over_visited(visit, (zeros, zeros)), start=1):
        own = _block_slice(row.own if plan.blocks > 1 else 0, plan)
        by_ref[which, :, :, own] = gradient.astype(by_ref.dtype)

    @pl.when(row.own == plan.blocks - 1)
    def _() -> None:
        for number in range(plan.blocks):
            by_query = by_query_ref[number].astype(by_ref.dtype)
            by_ref[0, :, :, _block_slice(number, plan)] = by_query


@dataclasses.dataclass(frozen=True)
class Row:
    """The row and the heads of a program, and the block that it has."""

    plan: Plan
    directed: bool
    tokens: Any  # reference of [blocks, 8, T] int32
    seeds: tuple[Array, Array] | None
    visited: tuple[Array, Array]  # the first block, and the one behind the last
    group: Array  # of heads, a number
    own: Array  # block, a number

    def over_visited(self, visit: Callable[..., Any], start: Any) -> Any:
        """What is left after all the blocks that are to be visited."""
        if self.plan.blocks == 1:
            return visit(0, start)
        return jax.lax.fori_loop(*self.visited, visit, start)

    def pairs(self, *, queries: Array | int, keys: Array | int) -> "_Pairs":
        """Those of a block of queries and a block of keys."""
        return _Pairs(self, queries, keys)


class _Pairs:
    """The pairs of a block of keys, down, and one of queries, across."""

    def __init__(self, row: Row, queries: Array | int, keys: Array | int) -> None:
        self._row, self._queries, self._keys = row, queries, keys

    def masked(self, scores: Array) -> Array:
        """[G, T, T] -> scaled, and of what may not be attended none."""
        across = self._row.tokens[self._queries]  # [8, T]
        down = self._row.tokens[self._keys].T  # [T, 8]
        directed = self._row.directed
        query = Mask(across[0:1], across[1:2], across[2:3], directed)
        key = Mask(down[:, 0:1], down[:, 1:2], down[:, 2:3], directed)
        allowed = may_attend(query, key)
        return jnp.where(allowed[None], scores * self._row.plan.scale, MASKED_SCORE)

    def dropped(self, x: Array) -> Array:
        """`x` [G, T, T] after dropout, as the written form has it."""
        plan, seeds = self._row.plan, self._row.seeds
        if seeds is None:
            return x
        counted = functools.partial(jax.lax.broadcasted_iota, jnp.int32, x.shape)
        heads = self._row.group * plan.group + counted(0)
        queries = self._queries * plan.block + counted(2)
        keys = self._keys * plan.block + counted(1)
        places = (heads * plan.length + queries) * plan.length + keys
        kept = kept_at(seeds, places.astype(jnp.uint32), plan.rate)
        return jnp.where(kept, x * scale_of_kept(plan.rate), 0)


def _block(ref: Any, number: Array | int, plan: Plan) -> Array:
    """A block of [G, K, L]."""
    return ref[:, :, _block_slice(number, plan)]


def _block_slice(number: Array | int, plan: Plan) -> Any:
    """Where a block's tokens stand in the row."""
    first = number * plan.block
    if not isinstance(first, int):
        first = pl.multiple_of(first, plan.block)
    return pl.ds(first, plan.block)


def _product(left: Array, right: Array, over: tuple[int, int]) -> Array:
    """The float32 products of each head's matrices over an axis of either."""
    axes = (((over[0],), (over[1],)), ((0,), (0,)))
    return jax.lax.dot_general(left, right, axes, preferred_element_type=jnp.float32)
