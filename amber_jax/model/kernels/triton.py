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

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as pallas_triton

from amber_jax.model.kernels import triton_programs
from amber_jax.model.kernels.blocks import visited_blocks
from amber_jax.model.kernels.dropout import drops
from amber_jax.model.kernels.triton_programs import Blocks, Plan
from amber_jax.model.rows import Mask
from amber_jax.types import Array

_WIDTHS = (16, 32, 64, 128)  # of heads


def takes(stacked: Array) -> bool:
    """Whether [B, L, 3, H, K] is of 16 bits, as matrix units are, and of a width."""
    narrow = stacked.dtype in (jnp.bfloat16, jnp.float16)
    return narrow and stacked.shape[-1] in _WIDTHS


def forward_blocks(length: int, width: int) -> Blocks:
    """Returns those of the forward pass over rows of `length`, heads of `width`."""
    if 64 < length <= 128 and width <= 64:
        return Blocks(128, 128, 8, 2)
    return Blocks(64, 64, 4, 3)


def backward_blocks(length: int, width: int) -> Blocks:
    """Returns those of the backward pass; otherwise as `forward_blocks`."""
    if length <= 128:
        return Blocks(128, 64, 8, 1)
    return Blocks(64, 64, 4, 3 if width <= 64 else 2)


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
    normalizer: Array  # [B, H, L] float32, log2 of the sum of the scores' exp


def _forward(
    stacked: Array, mask: Mask, seeds: Array | None, rate: float
) -> tuple[Array, _Kept]:
    batch, length, _, heads, width = stacked.shape
    blocks = forward_blocks(length, width)
    plan = Plan(batch, length, heads, width, rate, blocks)
    seeds = seeds if drops(seeds, rate) else None
    keys = visited_blocks(mask.dense(), blocks.own, blocks.visited)
    mixed, normalizer = _run(
        triton_programs.forward,
        plan,
        (*3 * (stacked,), mask, seeds, keys),
        (*_three(plan), _tokens(mask, plan), _seeds(seeds), _block(keys)),
        (
            jax.ShapeDtypeStruct((batch, length, heads, width), stacked.dtype),
            jax.ShapeDtypeStruct((batch, heads, length), jnp.float32),
        ),
        (_vectors(plan), _numbers(plan)),
    )
    return mixed, _Kept(stacked, mask, seeds, mixed, normalizer)


def _backward(rate: float, saved: _Kept, grad: Array) -> tuple[Array, None, None]:
    stacked, mask, seeds, mixed, normalizer = saved
    batch, length, _, heads, width = stacked.shape
    blocks = backward_blocks(length, width)
    plan = Plan(batch, length, heads, width, rate, blocks)
    keys = queries = gained = None
    if plan.programs > 1:
        dense = mask.dense()
        keys, queries = (
            visited_blocks(whom, blocks.own, blocks.visited)
            for whom in (dense, dense.swapaxes(1, 2))
        )
        # What a token's probabilities gain together they lose again.
        gained = (grad.astype(jnp.float32) * mixed).sum(-1).swapaxes(1, 2)
    (by_stacked,) = _run(
        triton_programs.backward,
        plan,
        (*3 * (stacked,), mask, seeds, keys, queries, grad, normalizer, gained),
        (
            *(*_three(plan), _tokens(mask, plan), _seeds(seeds)),
            *(_block(keys), _block(queries)),
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
    plan: Plan,
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
            name=f"attention_{kernel.__name__}",
        )(*operands)

    return jax.lax.platform_dependent(
        *operands,
        cpu=functools.partial(call, interpret=True),
        default=functools.partial(call, interpret=False),
    )


def _three(plan: Plan) -> list[pl.BlockSpec]:
    """Returns where a program's query, key and value are in the heads."""
    shape = (None, plan.padded, None, None, plan.width)
    return [
        pl.BlockSpec(shape, lambda b, h, _, which=which: (b, 0, which, h, 0))
        for which in range(3)
    ]


def _vectors(plan: Plan) -> pl.BlockSpec:
    """Returns the row and head of [B, L, H, K]."""
    shape = (None, plan.padded, None, plan.width)
    return pl.BlockSpec(shape, lambda b, h, _: (b, 0, h, 0))


def _numbers(plan: Plan) -> pl.BlockSpec:
    """Returns the row and head of [B, H, L]."""
    return pl.BlockSpec((None, None, plan.padded), lambda b, h, _: (b, h, 0))


def _tokens(mask: Mask, plan: Plan) -> Mask:
    """Returns the row of every [B, L]."""
    row = pl.BlockSpec((None, plan.padded), lambda b, h, _: (b, 0))
    return jax.tree.map(lambda _: row, mask)


def _seeds(seeds: Array | None) -> pl.BlockSpec | None:
    """Returns the row of [B, 2]."""
    return None if seeds is None else pl.BlockSpec((None, 2), lambda b, h, _: (b, 0))


def _block(x: Array | None) -> pl.BlockSpec | None:
    """Returns the row and block of [B, programs, N]."""
    if x is None:
        return None
    return pl.BlockSpec((None, None, x.shape[2]), lambda b, h, i: (b, i, 0))
