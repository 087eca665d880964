"""The programs of the GPU's attention kernel: what each of them reads and writes.

A program has a row, a head and a block of tokens, and visits blocks of the others.
References are of the whole row, and of the head where there are any.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as pallas_triton

from amber_jax.model.kernels.attention import LEAST_TOTAL, MASKED_SCORE
from amber_jax.model.kernels.dropout import kept_at, scale_of_kept
from amber_jax.model.rows import Mask, may_attend
from amber_jax.types import Array

_LOG2E = math.log2(math.e)  # kernels raise 2 to a power, not e


class Blocks(NamedTuple):
    """How a kernel is cut."""

    own: int  # tokens that a program has; a power of two, as is the next
    visited: int  # tokens that it visits at once
    warps: int
    stages: int  # blocks that are on their way from memory at once


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a kernel knows before it runs."""

    batch: int
    length: int  # of a row
    heads: int
    width: int  # of a head
    rate: float  # of dropout, where there are seeds
    blocks: Blocks

    @property
    def programs(self) -> int:
        """How many have a block of their own, of a row and a head."""
        return pl.cdiv(self.length, self.blocks.own)

    @property
    def visits(self) -> int:
        """How many blocks a program might visit."""
        return pl.cdiv(self.length, self.blocks.visited)

    @property
    def padded(self) -> int:
        """The row's length up to whole blocks of both kinds."""
        blocks = self.blocks
        return max(self.programs * blocks.own, self.visits * blocks.visited)

    @property
    def scale(self) -> float:
        """What is multiplied with products of queries and keys."""
        return self.width**-0.5


def forward(
    query_ref: Any,
    key_ref: Any,
    value_ref: Any,
    tokens: Mask,
    seeds: Any,
    keys: Any,
    mixed_ref: Any,
    normalizer_ref: Any,
    *,
    plan: Plan,
) -> None:
    """Writes what a block of queries attends, mixed, and its log2 of sums of exp.

    Args:
        query_ref: [L, K], as are the next two and what is mixed.
        key_ref: what queries are multiplied with.
        value_ref: what is mixed.
        tokens: of references, each [L].
        seeds: [2] uint32 of the row; None where nothing is dropped.
        keys: [2], see `visited_blocks`; None for all.
        mixed_ref: written.
        normalizer_ref: [L] float32, written.
        plan: of the whole kernel.
    """
    own, visited, *_ = plan.blocks
    start = pl.program_id(2) * own
    row = _Row(tokens, seeds, pl.program_id(1), plan)
    query = _read(query_ref, start, own, plan)

    def visit(
        number: Array, so_far: tuple[Array, Array, Array]
    ) -> tuple[Array, Array, Array]:
        highest, total, mixed = so_far
        first = number * visited
        key, value = (_read(x, first, visited, plan) for x in (key_ref, value_ref))
        pairs = _Pairs(row, (start, own), (first, visited), axis=0)
        scores = pairs.masked(_product(query, key, 1))
        higher = jnp.maximum(highest, scores.max(1))
        shrunk = jnp.exp2(highest - higher)
        weights = jnp.exp2(scores - higher[:, None])
        more = _product(pairs.dropped(weights).astype(value.dtype), value, 0)
        total = total * shrunk + weights.sum(1)
        return higher, total, mixed * shrunk[:, None] + more

    nothing = (
        jnp.full((own,), MASKED_SCORE / 2, jnp.float32),
        jnp.zeros((own,), jnp.float32),
        jnp.zeros((own, plan.width), jnp.float32),
    )
    highest, total, mixed = _over(keys, plan, visit, nothing)
    total = jnp.maximum(total, LEAST_TOTAL)
    mixed = mixed / total[:, None]
    _write(mixed_ref, mixed.astype(query.dtype), start, plan)
    _write(normalizer_ref, highest + jnp.log2(total), start, plan)


def backward(
    query_ref: Any,
    key_ref: Any,
    value_ref: Any,
    tokens: Mask,
    seeds: Any,
    keys: Any,
    queries: Any,
    grad_ref: Any,
    normalizer_ref: Any,
    gained_ref: Any,
    by_ref: Any,
    *,
    plan: Plan,
) -> None:
    """Writes the gradients of a block of keys and values, and of its queries.

    Where the block is the whole row, all of them in the one visit; otherwise keys and
    values first, then as many queries. The rest are as of `forward`.

    Args:
        queries: [2], the blocks of queries that the keys visit; None for all.
        grad_ref: [L, K], of what was mixed.
        gained_ref: [L] float32, the product of `grad_ref` with what was mixed; None
            where the block is the whole row.
        by_ref: [L, 3, K], written.
    """
    own, visited, *_ = plan.blocks
    start = pl.program_id(2) * own
    row = _Row(tokens, seeds, pl.program_id(1), plan)
    key, value = (_read(x, start, own, plan) for x in (key_ref, value_ref))
    narrow = key.dtype
    zeros = jnp.zeros((own, plan.width), jnp.float32)

    def visit_queries(
        number: Array, so_far: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        by_key, by_value = so_far
        first = number * visited
        query, grad = (_read(x, first, visited, plan) for x in (query_ref, grad_ref))
        pairs = _Pairs(row, (first, visited), (start, own), axis=1)
        normalizer = _read(normalizer_ref, first, visited, plan)[None]
        probs = jnp.exp2(pairs.masked(_product(key, query, 1)) - normalizer)
        staying = pairs.dropped(probs)
        by_value += _product(staying.astype(narrow), grad, 0)
        by_scores = staying * _product(value, grad, 1)
        if gained_ref is None:
            gained = by_scores.sum(0)
        else:
            gained = _read(gained_ref, first, visited, plan)
        by_scores = (by_scores - probs * gained[None]).astype(narrow)
        by_key += _product(by_scores, query, 0)
        if gained_ref is None:
            by_query = _product(by_scores.T, key, 0) * plan.scale
            _write_gradient(by_ref, 0, by_query, first, plan)
        return by_key, by_value

    by_key, by_value = _over(queries, plan, visit_queries, (zeros, zeros))
    _write_gradient(by_ref, 1, by_key * plan.scale, start, plan)
    _write_gradient(by_ref, 2, by_value, start, plan)
    if gained_ref is None:
        return

    query, grad = (_read(x, start, own, plan) for x in (query_ref, grad_ref))
    normalizer = _read(normalizer_ref, start, own, plan)[:, None]
    gained = _read(gained_ref, start, own, plan)[:, None]

    def visit_keys(number: Array, by_query: Array) -> Array:
        first = number * visited
        key, value = (_read(x, first, visited, plan) for x in (key_ref, value_ref))
        pairs = _Pairs(row, (start, own), (first, visited), axis=0)
        probs = jnp.exp2(pairs.masked(_product(query, key, 1)) - normalizer)
        by_scores = pairs.dropped(probs) * _product(grad, value, 1) - probs * gained
        return by_query + _product(by_scores.astype(narrow), key, 0)

    by_query = _over(keys, plan, visit_keys, zeros) * plan.scale
    _write_gradient(by_ref, 0, by_query, start, plan)


class _Row(NamedTuple):
    """A row and a head of a program."""

    tokens: Mask  # of references, as are the seeds
    seeds: Any
    head: Array
    plan: Plan


class _Pairs:
    """The pairs of a block of queries and a block of keys, queries along `axis`."""

    def __init__(
        self,
        row: _Row,
        queries: tuple[Array, int],
        keys: tuple[Array, int],
        *,
        axis: int,
    ) -> None:
        """Each block is its first token and how many they are."""
        self._row = row

        def along(first: Array, size: int, axis: int) -> tuple[Mask, Array]:
            shape = (-1, 1) if axis == 0 else (1, -1)
            tokens = jax.tree.map(lambda x: _read(x, first, size, row.plan), row.tokens)
            numbers = first + jnp.arange(size, dtype=jnp.int32)
            return jax.tree.map(lambda x: x.reshape(shape), (tokens, numbers))

        query, self._query_numbers = along(*queries, axis)
        key, self._key_numbers = along(*keys, 1 - axis)
        self._allowed = may_attend(query, key)

    def masked(self, scores: Array) -> Array:
        """Returns scores for powers of 2, and of what may not be attended none."""
        scores *= self._row.plan.scale * _LOG2E
        return jnp.where(self._allowed, scores, MASKED_SCORE)

    def dropped(self, x: Array) -> Array:
        """Returns `x` after dropout, as the written form has it."""
        _, seeds, head, plan = self._row
        if seeds is None:
            return x
        places = (head * plan.length + self._query_numbers) * plan.length
        places = (places + self._key_numbers).astype(jnp.uint32)
        kept = kept_at((seeds[0], seeds[1]), places, plan.rate)
        return jnp.where(kept, x * scale_of_kept(plan.rate), 0)


def _over(visited: Any, plan: Plan, visit: Callable[..., Any], start: Any) -> Any:
    """Returns what is left after all the blocks that are to be visited."""
    if plan.visits == 1:
        return visit(0, start)
    first, behind = (0, plan.visits) if visited is None else (visited[0], visited[1])
    return jax.lax.fori_loop(first, behind, visit, start)


def _product(left: Array, right: Array, axis: int) -> Array:
    """Returns the float32 product over axis 1 of `left` and `axis` of `right`."""
    over = (((1,), (axis,)), ((), ()))
    return jax.lax.dot_general(left, right, over, preferred_element_type=jnp.float32)


def _read(ref: Any, first: Array, size: int, plan: Plan) -> Array:
    """Returns a block of a row; behind its end are zeros."""
    block = pl.ds(first, size)
    if plan.length % size == 0:
        return ref[block]
    inside = first + jnp.arange(size) < plan.length
    inside = inside.reshape(-1, *[1] * (len(ref.shape) - 1))
    return pallas_triton.load(ref.at[block], mask=inside, other=0)


def _write(ref: Any, x: Array, first: Array, plan: Plan) -> None:
    """Writes a block of a row, but not behind its end."""
    target = ref.at[pl.ds(first, len(x))]
    if plan.length % len(x) == 0:
        target[...] = x
        return
    inside = first + jnp.arange(len(x)) < plan.length
    inside = inside.reshape(-1, *[1] * (x.ndim - 1))
    pallas_triton.store(target, x, mask=inside)


def _write_gradient(ref: Any, which: int, x: Array, first: Array, plan: Plan) -> None:
    """Writes a block of the query's (0), the key's or the value's (2) gradient."""
    target = ref.at[pl.ds(first, len(x)), pl.ds(which, 1)]
    inside = (first + jnp.arange(len(x)) < plan.length)[:, None, None]
    x = x.astype(ref.dtype)[:, None]
    pallas_triton.store(target, x, mask=inside if plan.length % len(x) else None)
