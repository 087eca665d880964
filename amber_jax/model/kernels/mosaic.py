"""Attention of packed rows as one kernel of a TPU, dropout and both masks within.

The definition is that of `attention`: scores, a softmax in float32, dropout by the hash
of the place, the product with the values. No [B, H, L, L] is written to memory, and of
long rows only those blocks are computed in which some token may attend another.

The forward pass has blocks of queries, which visit the blocks of keys, and keeps the
softmax so far. The backward pass has keys, which visit queries and add to the queries'
gradients: a core runs a row's programs one after the other, so the order is fixed.

Source: Dao 2023, arXiv 2307.08691.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pallas_tpu

from amber_jax.model.kernels import mosaic_programs
from amber_jax.model.kernels.blocks import visited_blocks
from amber_jax.model.kernels.dropout import drops
from amber_jax.model.kernels.mosaic_programs import Plan, Row
from amber_jax.model.rows import Mask
from amber_jax.types import Array

_TOKEN_ROWS = 8  # what a tile has at least, of which `Mask` needs three


def takes(stacked: Array) -> bool:
    """Whether rows of [B, L, 3, H, K] suit the kernel."""
    _, length, _, _, width = stacked.shape
    return mosaic_programs.takes(length, width, stacked.dtype)


def attend(stacked: Array, mask: Mask, seeds: Array | None, rate: float) -> Array:
    """The values that each token attends, mixed, [B, L, H, K].

    Args:
        stacked: [B, L, 3, H, K], every token's query, key and value; see `takes`.
        mask: who may attend whom.
        seeds: [B, 2] uint32, of the dropout of probabilities; None for none.
        rate: of that dropout; probability.
    """
    return _attend(stacked, mask, seeds if drops(seeds, rate) else None, rate)


class _Kept(NamedTuple):
    """What the backward pass needs."""

    vectors: Array  # [B, 3, H, K, L], queries, keys and values
    mask: Mask
    seeds: Array | None
    mixed: Array  # [B, L, H, K]
    log_total: Array  # [B, H, blocks, 1, tokens of a block] float32


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _attend(stacked: Array, mask: Mask, seeds: Array | None, rate: float) -> Array:
    return _forward(stacked, mask, seeds, rate)[0]


def _forward(
    stacked: Array, mask: Mask, seeds: Array | None, rate: float
) -> tuple[Array, _Kept]:
    vectors = stacked.transpose(0, 2, 3, 4, 1)
    plan = _plan(vectors, rate)
    mixed, log_total = _run(
        mosaic_programs.forward,
        plan,
        mask,
        seeds,
        visited_blocks(mask.dense(), plan.block, plan.block),
        ((vectors, _own(plan, 0)), *((vectors, _whole(plan, n)) for n in (1, 2))),
        (
            ((*vectors.shape[:1], *vectors.shape[2:]), vectors.dtype, _own(plan)),
            (_numbers_shape(plan), jnp.float32, _own_numbers(plan)),
        ),
        products=2,
        vectors=4,
    )
    mixed = mixed.transpose(0, 3, 1, 2)
    return mixed, _Kept(vectors, mask, seeds, mixed, log_total)


def _backward(rate: float, saved: _Kept, grad: Array) -> tuple[Array, None, None]:
    vectors, mask, seeds, mixed, log_total = saved
    plan = _plan(vectors, rate)
    # A token's probabilities sum to 1, so their gradients lose their weighted mean.
    weighted = (grad.astype(jnp.float32) * mixed).sum(-1).swapaxes(1, 2)
    all_three = (None, 3, plan.group, plan.width, plan.length)
    (gradients,) = _run(
        mosaic_programs.backward,
        plan,
        mask,
        seeds,
        visited_blocks(mask.dense().swapaxes(1, 2), plan.block, plan.block),
        (
            (vectors, _whole(plan, 0)),
            *((vectors, _own(plan, n)) for n in (1, 2)),
            (grad.transpose(0, 2, 3, 1), _whole(plan)),
            (log_total, _whole_numbers(plan)),
            (weighted.reshape(log_total.shape), _whole_numbers(plan)),
        ),
        (
            (
                vectors.shape,
                vectors.dtype,
                pl.BlockSpec(all_three, lambda b, g, *_: (b, 0, g, 0, 0)),
            ),
        ),
        ((plan.blocks, plan.group, plan.width, plan.block),),
        products=5,
        vectors=7,
    )
    return gradients.transpose(0, 4, 1, 2, 3), None, None


_attend.defvjp(_forward, _backward)


def _plan(vectors: Array, rate: float) -> Plan:
    batch, _, heads, width, length = vectors.shape
    return Plan(batch, heads, length, width, vectors.dtype, rate)


def _run(
    program: Callable[..., None],
    plan: Plan,
    mask: Mask,
    seeds: Array | None,
    visited: Array | None,
    operands: tuple[tuple[Array, pl.BlockSpec], ...],
    results: tuple[tuple[tuple[int, ...], Any, pl.BlockSpec], ...],
    scratch: tuple[tuple[int, ...], ...] = (),
    *,
    products: int,
    vectors: int,
) -> tuple[Array, ...]:
    """What the program writes; on a CPU it is interpreted.

    Args:
        program: of `mosaic_programs`.
        plan: of the kernel.
        mask: who may attend whom.
        seeds: of dropout; None for none.
        visited: see `visited_blocks`.
        operands: arrays, and what of them a program gets.
        results: shapes and dtypes, and what of them a program writes.
        scratch: shapes of float32 that a program finds as the one before left them.
        products: of a head's matrices, for the compiler's estimate.
        vectors: that are read or written of a head and token, for the same.
    """
    scores = plan.batch * plan.heads * plan.length**2
    dropping = seeds is not None

    def kernel(visited_ref: Any, seeds_ref: Any, tokens_ref: Any, *refs: Any) -> None:
        row, group, own = (pl.program_id(axis) for axis in range(3))
        place = 2 * (row * plan.blocks + own)
        program(
            Row(
                plan,
                mask.directed,
                tokens_ref,
                (seeds_ref[2 * row], seeds_ref[2 * row + 1]) if dropping else None,
                (visited_ref[place], visited_ref[place + 1]),
                group,
                own,
            ),
            *refs,
        )

    def call(*operands: Array, interpret: bool) -> tuple[Array, ...]:
        return pl.pallas_call(
            kernel,
            grid_spec=pallas_tpu.PrefetchScalarGridSpec(
                num_scalar_prefetch=2,
                grid=plan.grid,
                in_specs=specs,
                out_specs=[spec for *_, spec in results],
                scratch_shapes=[pallas_tpu.VMEM(x, jnp.float32) for x in scratch],
            ),
            out_shape=[
                jax.ShapeDtypeStruct(shape, dtype) for shape, dtype, _ in results
            ],
            compiler_params=pallas_tpu.CompilerParams(
                dimension_semantics=("parallel", "parallel", "arbitrary")
            ),
            cost_estimate=pl.CostEstimate(
                flops=2 * products * scores * plan.width,
                transcendentals=scores,
                bytes_accessed=vectors * plan.batch * plan.heads * plan.row_bytes,
            ),
            interpret=interpret,
            name=f"attention_{program.__name__}",
        )(*operands)

    arrays, specs = zip(_tokens(mask, plan), *operands, strict=True)
    unread = jnp.zeros(2 * plan.batch, jnp.uint32)
    scalars = (unread if x is None else x.ravel() for x in (visited, seeds))
    return jax.lax.platform_dependent(
        *(*scalars, *arrays),
        cpu=functools.partial(call, interpret=True),
        default=functools.partial(call, interpret=False),
    )


def _tokens(mask: Mask, plan: Plan) -> tuple[Array, pl.BlockSpec]:
    """The three numbers of every token, [B, blocks, 8, T] int32; a program's row."""
    numbers = jnp.stack([mask.pair_ids, mask.sides, mask.position_ids], axis=1)
    numbers = jnp.pad(numbers, ((0, 0), (0, _TOKEN_ROWS - 3), (0, 0)))
    shape = (_TOKEN_ROWS, plan.blocks, plan.block)
    numbers = numbers.reshape(plan.batch, *shape).swapaxes(1, 2)
    block = (None, *numbers.shape[1:])
    return numbers, pl.BlockSpec(block, lambda b, *_: (b, 0, 0, 0))


def _own(plan: Plan, which: int | None = None) -> pl.BlockSpec:
    """A program's block of [B, H, K, L], or of one of three such arrays."""
    return _vectors(plan.block, lambda i: i, plan, which)


def _whole(plan: Plan, which: int | None = None) -> pl.BlockSpec:
    """A program's row of the same."""
    return _vectors(plan.length, lambda _: 0, plan, which)


def _vectors(
    tokens: int, number: Callable[[Any], Any], plan: Plan, which: int | None
) -> pl.BlockSpec:
    shape = (plan.group, plan.width, tokens)
    if which is None:
        return pl.BlockSpec((None, *shape), lambda b, g, i, *_: (b, g, 0, number(i)))
    return pl.BlockSpec(
        (None, None, *shape), lambda b, g, i, *_: (b, which, g, 0, number(i))
    )


def _numbers_shape(plan: Plan) -> tuple[int, ...]:
    """That of an array which has a number for each head and token."""
    return plan.batch, plan.heads, plan.blocks, 1, plan.block


def _own_numbers(plan: Plan) -> pl.BlockSpec:
    """A program's block of them."""
    shape = (None, plan.group, None, 1, plan.block)
    return pl.BlockSpec(shape, lambda b, g, i, *_: (b, g, i, 0, 0))


def _whole_numbers(plan: Plan) -> pl.BlockSpec:
    """A program's row of them."""
    shape = (None, plan.group, plan.blocks, 1, plan.block)
    return pl.BlockSpec(shape, lambda b, g, *_: (b, g, 0, 0, 0))
