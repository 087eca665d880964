"""Where a training step's time goes on the CPU: its products, and all the rest.

taskset -c 0 python -m benchmarks.operations [--size=small]

Traces one step of the common work and adds up what XLA did by kind. A product's
arithmetic is known from its shapes, the rest has time only. The last line is what the
step would take if there were nothing but its products, all at the best rate that one of
them reaches. Products inside of loops are not meant: they would count once.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from absl import flags

from amber_jax.commands import command_line
from benchmarks import kernel_times, own_step, tables, workload

_AROUND_OTHERS = ("while", "call", "conditional")  # what is inside is told itself
_LARGE = 1e-3  # of the step's FLOPs; a smaller product's rate means little
_NAME = r"%?([\w.\-]+)"
_LINE = re.compile(rf"^\s*(?:ROOT )?{_NAME} = (\(.*?\)|\S+) ([\w\-]+)\((.*)$")
_SHAPE = re.compile(r"\[([\d,]*)\]")
_COMPUTATION = re.compile(rf"^(?:ENTRY )?{_NAME} \(.*\{{$")


class Program(NamedTuple):
    """What a compiled program's text tells."""

    products: dict[str, float]  # instruction -> FLOPs of the products in it
    scopes: dict[str, str]  # of every instruction that counts: encoder, head or update


def read(text: str) -> Program:
    """Returns the products and scopes of a program, from `Compiled.as_text()`."""
    shapes: dict[str, list[int]] = {}
    flops: dict[str, float] = {}  # of an instruction or of a computation
    calls: dict[str, str] = {}
    scopes: dict[str, str] = {}
    computation = ""
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            computation = match[1]
        if not (match := _LINE.match(line)):
            continue
        name, kind, operation, rest = match.groups()
        dims = _SHAPE.search(kind)
        shapes[name] = [int(n) for n in dims[1].split(",") if n] if dims else []
        if operation not in _AROUND_OTHERS:
            scopes[name] = _scope(rest)
        if operation == "dot":
            own = _dot_flops(shapes, name, rest)
            flops[name] = own
            flops[computation] = flops.get(computation, 0.0) + own
        if called := re.search(rf"calls={_NAME}", rest):
            calls[name] = called[1]
    fused = {name: flops[inside] for name, inside in calls.items() if inside in flops}
    return Program(flops | fused, scopes)


def _dot_flops(shapes: Mapping[str, list[int]], name: str, rest: str) -> float:
    first = re.findall(_NAME, rest.partition(")")[0].split(",")[0])[-1]
    contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", rest)[1]
    total = 2.0
    for size in shapes[name]:
        total *= size
    for axis in contracted.split(","):
        total *= shapes[first][int(axis)]
    return total


def _scope(rest: str) -> str:
    match = re.search(r'op_name="([^"]*)"', rest)
    path = match[1] if match else ""
    if "/update" in path:
        return "update"
    return "head" if "/masked_lm" in path or "mlm_head" in path else "encoder"


def traced(run: own_step.Settings) -> tuple[str, dict[str, float]]:
    """Returns the program's text, and seconds of its instructions in one step."""
    step, state, batches, put_batch, key, _ = own_step.prepare(run)
    for batch in batches[:-1]:
        state, metrics = step(state, put_batch(batch), key)
        float(metrics["loss"])

    def last() -> None:
        _, metrics = step(state, put_batch(batches[-1]), key)
        float(metrics["loss"])

    seconds: dict[str, float] = {}
    for kernel in kernel_times.traced(last):
        name = kernel.instruction
        seconds[name] = seconds.get(name, 0.0) + kernel.seconds
    return step.as_text(), seconds


def rows(program: Program, seconds: Mapping[str, float]) -> Iterator[tables.Row]:
    """Yields products and the rest of every part, their sum, and the bound."""
    seconds = {name: s for name, s in seconds.items() if name in program.scopes}
    whole = sum(seconds.values())

    def row(what: str, names: list[str]) -> tables.Row:
        took = sum(seconds[name] for name in names)
        flops = sum(program.products.get(name, 0.0) for name in names)
        return {
            "what": what,
            "ms": 1e3 * took,
            "% of the step": 100 * took / whole,
            "GFLOP": flops / 1e9,
            "GFLOP/s": flops / took / 1e9 if took else 0.0,
        }

    for part in ("encoder", "head", "update"):
        of_part = [name for name in seconds if program.scopes[name] == part]
        products = [name for name in of_part if name in program.products]
        if products:
            yield row(f"products of the {part}", products)
        yield row(f"the rest of the {part}", [n for n in of_part if n not in products])
    known = [name for name in seconds if name in program.products]
    yield row("all", list(seconds))
    total = sum(program.products[name] for name in known)
    large = [name for name in known if program.products[name] >= _LARGE * total]
    best = max(program.products[name] / seconds[name] for name in large)
    yield {
        "what": "its products alone, at the best rate of one",
        "ms": 1e3 * total / best,
        "% of the step": 100 * total / best / whole,
        "GFLOP": total / 1e9,
        "GFLOP/s": best / 1e9,
    }


def settings(size: str) -> own_step.Settings:
    """Returns the step that is traced: masked language modeling on full rows."""
    return own_step.Settings(
        size=workload.SIZES[size],
        lengths="full",
        packed=True,
        losses=("masked_lm",),
        backend="jit",
        dtype="float32",
        dropout=0.1,
        micro_batches=1,
        steps=1,
        warmup=2,
        seed=0,
        wait_idle=False,
    )


def main(_: list[str]) -> None:
    wanted = flags.FLAGS
    text, seconds = traced(settings(wanted.size))
    title = f"One step, size {wanted.size}"
    tables.show({title: list(rows(read(text), seconds))}, wanted.json)


if __name__ == "__main__":
    flags.DEFINE_enum("size", "small", [*workload.SIZES], "of the model")
    tables.define_flag()
    command_line.run(main, on_devices=True)
