"""Attention of packed rows as one kernel of a GPU, dropout and both masks within.

The definition is that of `attention`: scores, a softmax in float32, dropout by the hash
of the place, the product with the values. No [B, H, L, L] is written to memory, and of
long rows only those blocks are computed in which some token may attend another.

A program has a row, a head and a block of tokens, and visits blocks of the others. The
forward pass has queries, visits keys, and keeps the softmax so far. The backward pass
has keys and visits queries; where the keys are not the whole row, it has queries then
and visits keys. So nothing is added up in an order that is left to chance.

Source: Dao 2023, arXiv 2307.08691.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as pallas_triton

from amber_jax.model.dropout import drops, kept_at, scale_of_kept
from amber_jax.model.rows import Mask, may_attend
from amber_jax.types import Array

_LOG2E = math.log2(math.e)  # kernels raise 2 to a power, not e
_MASKED_SCORE = -1e9  # no real score comes near half of it
_LEAST_TOTAL = 1e-30  # of a token that attends nothing; it gets zeros


class Blocks(NamedTuple):
    """How a kernel is cut."""

    own: int  # tokens that a program has; a power of two, as is the next
    visited: int  # tokens that it visits at once
    warps: int
    stages: int  # blocks that are on their way from memory at once


def forward_blocks(length: int, width: int) -> Blocks:
    """Returns those of the forward pass over rows of `length`, heads of `width`."""
    return Blocks(64, 64, 4, 3)


def backward_blocks(length: int, width: int) -> Blocks:
    """Returns those of the backward pass; otherwise as `forward_blocks`."""
    return Blocks(128, 64, 8, 2) if length <= 128 else Blocks(64, 64, 4, 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def attend(stacked: Array, mask: Mask, seeds: Array | None, rate: float) -> Array:
    """Returns the values that each token attends, mixed, [B, L, H, K].

    Args:
        stacked: [B, L, 3, H, K], of every token its query, key and value; K is
            a power of two, 16 at least.
        mask: who may attend whom.
        seeds: [B, 2] uint32, of the dropout of probabilities; None for none.
        rate: of that dropout; probability.
    """
    return _forward(stacked, mask, seeds, rate)[0]


class _Kept(NamedTuple):
    """What the backward pass needs."""

    stacked: Array
    mask: Mask
    seeds: Array | None
    mixed: Array  # [B, L, H, K]
    normaliser: Array  # [B, H, L] float32, log2 of the sum of the scores' exp


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What a kernel knows before it runs."""

    batch: int
    length: int  # of a row
    heads: int
    width: int  # of a head
    rate: float  # of dropout, where there are seeds
    blocks: Blocks

    @property
    def programs(self) -> int:
        return pl.cdiv(self.length, self.blocks.own)

    @property
    def visits(self) -> int:
        return pl.cdiv(self.length, self.blocks.visited)

    @property
    def padded(self) -> int:
        """The row's length up to whole blocks of both kinds."""
        blocks = self.blocks
        return max(self.programs * blocks.own, self.visits * blocks.visited)

    @property
    def scale(self) -> float:
        return self.width**-0.5


def _forward(
    stacked: Array, mask: Mask, seeds: Array | None, rate: float
) -> tuple[Array, _Kept]:
    batch, length, _, heads, width = stacked.shape
    blocks = forward_blocks(length, width)
    plan = _Plan(batch, length, heads, width, rate, blocks)
    seeds = seeds if drops(seeds, rate) else None
    keys = _visited(mask.dense(), plan)
    mixed, normaliser = _run(
        _forward_kernel,
        plan,
        (*3 * (stacked,), mask, seeds, keys),
        (*_three(plan), _row(mask), _row(seeds), _block(keys)),
        (
            jax.ShapeDtypeStruct((batch, length, heads, width), stacked.dtype),
            jax.ShapeDtypeStruct((batch, heads, length), jnp.float32),
        ),
        (_vectors(plan), _numbers(plan)),
    )
    return mixed, _Kept(stacked, mask, seeds, mixed, normaliser)


def _backward(rate: float, saved: _Kept, grad: Array) -> tuple[Array, None, None]:
    stacked, mask, seeds, mixed, normaliser = saved
    batch, length, _, heads, width = stacked.shape
    blocks = backward_blocks(length, width)
    plan = _Plan(batch, length, heads, width, rate, blocks)
    keys = queries = gained = None
    if plan.programs > 1:
        dense = mask.dense()
        keys, queries = _visited(dense, plan), _visited(dense.swapaxes(1, 2), plan)
        # What a token's probabilities gain together they lose again.
        gained = (grad.astype(jnp.float32) * mixed).sum(-1).swapaxes(1, 2)
    (by_stacked,) = _run(
        _backward_kernel,
        plan,
        (*3 * (stacked,), mask, seeds, keys, queries, grad, normaliser, gained),
        (
            *(*_three(plan), _row(mask), _row(seeds), _block(keys), _block(queries)),
            *(
                _vectors(plan),
                _numbers(plan),
                gained if gained is None else _numbers(plan),
            ),
        ),
        (jax.ShapeDtypeStruct(stacked.shape, stacked.dtype),),
        (
            pl.BlockSpec(
                (None, plan.padded, 3, None, width), lambda b, h, _: (b, 0, 0, h, 0)
            ),
        ),
    )
    return by_stacked, None, None


attend.defvjp(_forward, _backward)


def _run(
    kernel: Callable[..., None],
    plan: _Plan,
    operands: tuple[Any, ...],
    specs: tuple[Any, ...],
    results: tuple[Any, ...],
    result_specs: tuple[Any, ...],
) -> tuple[Array, ...]:
    """Returns what the kernel writes; on a CPU it is interpreted."""

    def call(*operands: Any, interpret: bool) -> tuple[Array, ...]:
        return pl.pallas_call(
            functools.partial(kernel, plan=plan),
            grid=(plan.batch, plan.heads, plan.programs),
            in_specs=specs,
            out_specs=result_specs,
            out_shape=results,
            compiler_params=pallas_triton.CompilerParams(
                num_warps=plan.blocks.warps, num_stages=plan.blocks.stages
            ),
            interpret=interpret,
            name=f"attention{kernel.__name__.removesuffix('_kernel')}",
        )(*operands)

    return jax.lax.platform_dependent(
        *operands,
        cpu=functools.partial(call, interpret=True),
        default=functools.partial(call, interpret=False),
    )


def _visited(dense: Array, plan: _Plan) -> Array | None:
    """Returns the first block that a program visits, and the one behind the last.

    [B, programs, 2] int32; None where there is only one.

    Args:
        dense: [B, L, L] bool, whether a token that a program has and one that it visits
            have anything to do with each other.
        plan: of the kernel.
    """
    if plan.visits == 1:
        return None
    own, visited, *_ = plan.blocks
    missing = plan.padded - plan.length
    dense = jnp.pad(dense, ((0, 0), (0, missing), (0, missing)))
    cut = dense.reshape(plan.batch, -1, own, plan.padded // visited, visited)
    meet = cut.any((2, 4))[:, : plan.programs]
    numbers = jnp.arange(meet.shape[-1], dtype=jnp.int32)
    first = jnp.where(meet, numbers, plan.visits).min(-1)
    behind = jnp.where(meet, numbers + 1, 0).max(-1)
    return jnp.stack([jnp.minimum(first, behind), behind], axis=-1)


def _three(plan: _Plan) -> list[pl.BlockSpec]:
    """Returns where a program's query, key and value are in the heads."""
    shape = (None, plan.padded, None, None, plan.width)
    return [
        pl.BlockSpec(shape, lambda b, h, _, which=which: (b, 0, which, h, 0))
        for which in range(3)
    ]


def _vectors(plan: _Plan) -> pl.BlockSpec:
    """Returns the row and head of [B, L, H, K]."""
    shape = (None, plan.padded, None, plan.width)
    return pl.BlockSpec(shape, lambda b, h, _: (b, 0, h, 0))


def _numbers(plan: _Plan) -> pl.BlockSpec:
    """Returns the row and head of [B, H, L]."""
    return pl.BlockSpec((None, None, plan.padded), lambda b, h, _: (b, h, 0))


def _row(tree: Any) -> Any:
    """Returns the row of every [B, N]."""
    return jax.tree.map(
        lambda x: pl.BlockSpec((None, x.shape[1]), lambda b, h, _: (b, 0)), tree
    )


def _block(x: Array | None) -> pl.BlockSpec | None:
    """Returns the row and block of [B, programs, N]."""
    if x is None:
        return None
    return pl.BlockSpec((None, None, x.shape[2]), lambda b, h, i: (b, i, 0))


def _forward_kernel(
    query_ref: Any,
    key_ref: Any,
    value_ref: Any,
    tokens: Mask,
    seeds: Any,
    keys: Any,
    mixed_ref: Any,
    normaliser_ref: Any,
    *,
    plan: _Plan,
) -> None:
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
        jnp.full((own,), _MASKED_SCORE / 2, jnp.float32),
        jnp.zeros((own,), jnp.float32),
        jnp.zeros((own, plan.width), jnp.float32),
    )
    highest, total, mixed = _over(keys, plan, visit, nothing)
    total = jnp.maximum(total, _LEAST_TOTAL)
    mixed = mixed / total[:, None]
    _write(mixed_ref, mixed.astype(query.dtype), start, plan)
    _write(normaliser_ref, highest + jnp.log2(total), start, plan)


def _backward_kernel(
    query_ref: Any,
    key_ref: Any,
    value_ref: Any,
    tokens: Mask,
    seeds: Any,
    keys: Any,
    queries: Any,
    grad_ref: Any,
    normaliser_ref: Any,
    gained_ref: Any,
    by_ref: Any,
    *,
    plan: _Plan,
) -> None:
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
        normaliser = _read(normaliser_ref, first, visited, plan)[None]
        probs = jnp.exp2(pairs.masked(_product(key, query, 1)) - normaliser)
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
    normaliser = _read(normaliser_ref, start, own, plan)[:, None]
    gained = _read(gained_ref, start, own, plan)[:, None]

    def visit_keys(number: Array, by_query: Array) -> Array:
        first = number * visited
        key, value = (_read(x, first, visited, plan) for x in (key_ref, value_ref))
        pairs = _Pairs(row, (start, own), (first, visited), axis=0)
        probs = jnp.exp2(pairs.masked(_product(query, key, 1)) - normaliser)
        by_scores = pairs.dropped(probs) * _product(grad, value, 1) - probs * gained
        return by_query + _product(by_scores.astype(narrow), key, 0)

    by_query = _over(keys, plan, visit_keys, zeros) * plan.scale
    _write_gradient(by_ref, 0, by_query, start, plan)


class _Row(NamedTuple):
    """A row and a head of a program."""

    tokens: Mask  # of references, as are the seeds
    seeds: Any
    head: Array
    plan: _Plan


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
        return jnp.where(self._allowed, scores, _MASKED_SCORE)

    def dropped(self, x: Array) -> Array:
        """Returns `x` after dropout, as the written form has it."""
        _, seeds, head, plan = self._row
        if seeds is None:
            return x
        places = (head * plan.length + self._query_numbers) * plan.length
        places = (places + self._key_numbers).astype(jnp.uint32)
        kept = kept_at((seeds[0], seeds[1]), places, plan.rate)
        return jnp.where(kept, x * scale_of_kept(plan.rate), 0)


def _over(visited: Any, plan: _Plan, visit: Callable[..., Any], start: Any) -> Any:
    """Returns what is left after all the blocks that are to be visited."""
    if plan.visits == 1:
        return visit(0, start)
    first, behind = (0, plan.visits) if visited is None else (visited[0], visited[1])
    return jax.lax.fori_loop(first, behind, visit, start)


def _product(left: Array, right: Array, axis: int) -> Array:
    """Returns the float32 product over axis 1 of `left` and `axis` of `right`."""
    over = (((1,), (axis,)), ((), ()))
    return jax.lax.dot_general(left, right, over, preferred_element_type=jnp.float32)


def _read(ref: Any, first: Array, size: int, plan: _Plan) -> Array:
    """Returns a block of a row; behind its end are zeros."""
    block = pl.ds(first, size)
    if plan.length % size == 0:
        return ref[block]
    inside = first + jnp.arange(size) < plan.length
    inside = inside.reshape(-1, *[1] * (len(ref.shape) - 1))
    return pallas_triton.load(ref.at[block], mask=inside, other=0)


def _write(ref: Any, x: Array, first: Array, plan: _Plan) -> None:
    """Writes a block of a row, but not behind its end."""
    target = ref.at[pl.ds(first, len(x))]
    if plan.length % len(x) == 0:
        target[...] = x
        return
    inside = first + jnp.arange(len(x)) < plan.length
    inside = inside.reshape(-1, *[1] * (x.ndim - 1))
    pallas_triton.store(target, x, mask=inside)


def _write_gradient(ref: Any, which: int, x: Array, first: Array, plan: _Plan) -> None:
    """Writes a block of the query's (0), the key's or the value's (2) gradient."""
    target = ref.at[pl.ds(first, len(x)), pl.ds(which, 1)]
    inside = (first + jnp.arange(len(x)) < plan.length)[:, None, None]
    x = x.astype(ref.dtype)[:, None]
    pallas_triton.store(target, x, mask=inside if plan.length % len(x) else None)
