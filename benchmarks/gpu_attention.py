"""The attention kernel of GPUs alone: how exact, and how long when cut otherwise."""

import concurrent.futures
import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.model import rows
from amber_jax.model.kernels import attention, triton
from amber_jax.model.kernels.triton_programs import Blocks
from benchmarks import packed_work, workload

_RATE = 0.1
_REPEATS = 20
_BASE = workload.SIZES["base"]
_HEADS = (_BASE.num_heads, _BASE.hidden_size // _BASE.num_heads)  # and their width
# own, visited, warps, stages
_FORWARD = ((64, 64, 4, 2), (64, 64, 4, 3), (128, 64, 8, 2), (128, 128, 8, 2))
_BACKWARD = ((64, 32, 4, 2), (64, 64, 4, 2), (64, 64, 4, 3), (128, 64, 8, 1))
_ONE_BLOCK = ((128, 32, 8, 1), (128, 64, 8, 2), (128, 128, 8, 1))  # of rows of 128


class _Rows(NamedTuple):
    """Heads, who attends whom, seeds, and the gradient of what is mixed."""

    heads: jax.Array
    mask: rows.Mask
    seeds: jax.Array
    grad: jax.Array


def differences(device: Any) -> list[dict[str, Any]]:
    """Returns how far the kernel and the written form are from the exact result.

    That is of the result and of the gradients by query, key and value, relative to
    their norms, in bfloat16; the exact one is the written form's in float32.
    """
    cases = (
        *((128, False, 64), (256, True, 64), (512, False, 64), (100, True, 64)),
        *((128, True, 128), (256, False, 128)),
    )
    if device.platform == "cpu":
        cases = ((40, True, 64),)
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        return list(pool.map(lambda case: _difference(*case), cases))


def _difference(length: int, directed: bool, width: int) -> dict[str, Any]:
    spans = np.zeros((4, 16, 2), np.int32)
    spans[0, 0], spans[1], spans[2, :3] = (length // 2, length // 3), (1, 1), (5, 6)
    mask_of = rows.directed_attention if directed else rows.full_attention
    given = _rows(mask_of(rows.layout(jnp.asarray(spans), length)), (3, width))

    def mixed_and_gradients(given: _Rows, form: str) -> list[jax.Array]:
        def attend(heads: jax.Array) -> jax.Array:
            options = {"seeds": given.seeds, "rate": _RATE, "form": form}
            return attention.attend(heads, given.mask, **options)

        mixed, pull = jax.vjp(attend, given.heads)
        gradients = jnp.split(pull(given.grad)[0], 3, axis=2)
        return [x.astype(jnp.float32) for x in (mixed, *gradients)]

    run = jax.jit(mixed_and_gradients, static_argnames="form")
    heads, grad = (x.astype(jnp.float32) for x in (given.heads, given.grad))
    with jax.default_matmul_precision("highest"):
        exact = run(given._replace(heads=heads, grad=grad), form="written")
    errors = {
        form: [
            round(float(jnp.linalg.norm(x - y) / jnp.linalg.norm(y)), 5)
            for x, y in zip(run(given, form=form), exact, strict=True)
        ]
        for form in ("written", "triton")
    }
    case = {"equality_of_rows": length, "directed": directed, "width": width}
    return case | errors


def cuts(
    device: Any, shapes: Sequence[tuple[int, int, str]]
) -> Iterator[dict[str, Any]]:
    """Yields the microseconds of each pass of the kernel, by how it is cut.

    Args:
        device: on a CPU one cut of either pass is looked at, and timed once.
        shapes: rows of a batch, their length, and the lengths of their texts.
    """
    forward, backward, repeats = _FORWARD, _BACKWARD, _REPEATS
    if device.platform == "cpu":
        forward, backward, repeats = forward[:1], backward[:1], 1
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        compiled = {}
        for count, length, lengths in shapes:
            passes = _passes(_packed(count, length, lengths))
            more = _ONE_BLOCK if length == 128 else ()
            for name, sizes in (
                *(("forward", sizes) for sizes in (None, *forward)),
                *(("backward", sizes) for sizes in (None, *backward, *more)),
            ):
                key = f"{name} of {count} x {length}, {lengths}", sizes
                run, args = passes[name]
                with _cut(name, sizes):
                    # A function of its own: what is traced is kept by its function.
                    lowered = jax.jit(lambda *args, run=run: run(*args)).lower(*args)
                compiled[key] = pool.submit(lowered.compile), args
        concurrent.futures.wait([future for future, _ in compiled.values()])
    for (name, sizes), (future, args) in compiled.items():
        line = {"blocks": name, "cut": sizes or "as chosen"}
        try:
            yield {**line, "us": _microseconds(future.result(), args, repeats)}
        except jax.errors.JaxRuntimeError as error:  # more than the chip has
            yield {**line, "error": str(error)[:120]}


@contextlib.contextmanager
def _cut(name: str, sizes: tuple[int, ...] | None) -> Iterator[None]:
    if sizes is None:
        yield
        return
    chosen = functools.partial(lambda blocks, *_: blocks, Blocks(*sizes))
    with mock.patch.object(triton, f"{name}_blocks", chosen):
        yield


def _passes(given: _Rows) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Returns the passes of the kernel, each with what it takes."""

    def forward(heads: jax.Array, mask: rows.Mask, seeds: jax.Array) -> Any:
        return jax.vjp(lambda heads: triton.attend(heads, mask, seeds, _RATE), heads)

    args = given.heads, given.mask, given.seeds
    _, pull = jax.jit(forward)(*args)
    return {
        "forward": (lambda *args: forward(*args)[0], args),
        "backward": (lambda pull, grad: pull(grad), (pull, given.grad)),
    }


def _microseconds(step: Any, args: tuple[Any, ...], repeats: int) -> float:
    jax.block_until_ready(step(*args))
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        for _ in range(repeats):
            done = step(*args)
        jax.block_until_ready(done)
        best = min(best, time.perf_counter() - begin)
    return round(1e6 * best / repeats, 1)


def _packed(count: int, length: int, lengths: str) -> _Rows:
    size = workload.sized("base", row_length=length, rows=count)
    batch = packed_work.batches(size, 1, lengths=lengths, packed=True, seed=0)[0]
    spans = next(iter(batch.values()))["span_lengths"]
    place = rows.layout(jnp.asarray(spans), length)
    return _rows(rows.full_attention(place), _HEADS)


def _rows(mask: rows.Mask, heads: tuple[int, int]) -> _Rows:
    random = np.random.default_rng(0)
    shape = mask.pair_ids.shape
    return _Rows(
        jnp.asarray(random.normal(size=(*shape, 3, *heads)), jnp.bfloat16),
        mask,
        jnp.asarray(random.integers(0, 2**32, (shape[0], 2), np.uint32)),
        jnp.asarray(random.normal(size=(*shape, *heads)), jnp.bfloat16),
    )
