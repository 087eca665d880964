"""What XLA:TPU compiled, read from the program's text.

The text is what `jax.stages.Compiled.as_text` gives: scheduled HLO with the layout and
the memory space of every array, and the compiler's own estimate of cycles, of products
and of memory's bandwidth alike. It is read, not measured: collectives, prefetches,
gathers, scatters, sorts, changes of shape and hand-written kernels have no estimate.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

HBM = 0  # the memory space that layouts do not name
PRODUCTS, COPIES, REST = "products", "copies", "the rest"
COLLECTIVES = (
    *("all-reduce", "all-gather", "reduce-scatter", "all-to-all"),
    "collective-permute",
)
_MOVES = {
    *("copy", "transpose", "reshape", "concatenate", "pad", "slice", "broadcast"),
    *("dynamic-slice", "dynamic-update-slice"),
}
_SILENT = {"parameter", "constant", "bitcast", "tuple", "get-tuple-element"}
_PREFETCHES = ("copy-done", "slice-done", "dynamic-slice-done")
_BITS = {"pred": 8, "token": 0, "s4": 4, "u4": 4}
_SHAPE = re.compile(r"([a-z]\w*)\[([\d,]*)\](?:\{([\d,]*)(:[^}]*)?\})?")
_LINE = re.compile(r"\s+(?:ROOT )?%?([\w.-]+) = (.*)")
_HEAD = re.compile(r"(ENTRY )?%?([\w.-]+) \(.*\{$")
_OPCODE = re.compile(r"\s*([a-z][\w-]*)\(")
_CALLED = re.compile(
    r"\b(body|condition|calls|to_apply|branch_computations|called_computations"
    r"|true_computation|false_computation)=(\{[^}]*\}|%?[\w.-]+)"
)
_NAMES = re.compile(r"%([\w.-]+)")


@dataclasses.dataclass(frozen=True)
class Array:
    """An array of the program, as it lies in memory."""

    dtype: str
    dims: tuple[int, ...]
    order: tuple[int, ...]  # dimensions, the fastest first
    tile: tuple[int, ...]  # of the fastest dimensions, the fastest last
    space: int

    def __str__(self) -> str:
        """`bf16[2,768]`, and the dimensions' order where it is not that of the text."""
        text = f"{self.dtype}[{','.join(map(str, self.dims))}]"
        plain = tuple(reversed(range(len(self.dims))))
        return text + ("" if self.order == plain else f" {self.order}")

    @property
    def logical_bytes(self) -> int:
        """Bytes of the elements alone."""
        return math.prod(self.dims) * _bits(self.dtype) // 8

    @property
    def padded_bytes(self) -> int:
        """Bytes that it takes, every dimension filled up to whole tiles."""
        dims = [1] * (len(self.tile) - len(self.dims))
        dims += [self.dims[axis] for axis in reversed(self.order)]
        for axis, size in enumerate(reversed(self.tile), 1):
            dims[-axis] = -(-dims[-axis] // size) * size
        return math.prod(dims) * _bits(self.dtype) // 8


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A line of the program."""

    name: str
    opcode: str
    arrays: tuple[Array, ...]  # what it gives
    operands: tuple[str, ...]
    called: tuple[tuple[str, tuple[str, ...]], ...]  # attribute -> computations
    cycles: int  # 0 without an estimate
    origin: str  # where in the model it comes from
    channel: str  # of what goes between devices
    number: int | None  # of a constant that is one whole number

    def computations(self, *attributes: str) -> list[str]:
        """Returns the computations that it calls by any of `attributes`."""
        return [
            name for key, names in self.called if key in attributes for name in names
        ]


class Program(NamedTuple):
    """A compiled program."""

    computations: dict[str, list[Instruction]]  # by name; the root is the last one
    instructions: dict[str, Instruction]  # of all of them, by name
    entry: str


def parse(text: str) -> Program:
    """Returns the program that a text describes."""
    computations: dict[str, list[Instruction]] = {}
    entry = name = ""
    for line in text.split("\n"):
        head = _HEAD.match(line)
        if head:
            name = head[2]
            computations[name] = []
            entry = name if head[1] else entry
            continue
        match = _LINE.match(line) if name else None
        instruction = _instruction(match[1], match[2]) if match else None
        if instruction is not None:
            computations[name].append(instruction)
    instructions = {
        instruction.name: instruction
        for part in computations.values()
        for instruction in part
    }
    return Program(computations, instructions, entry)


def executed(program: Program) -> Iterator[tuple[Instruction, int]]:
    """Yields what is scheduled by itself, with how often a step runs it.

    Of a condition, every branch counts.

    Raises:
        ValueError: the text does not tell how often a loop runs.
    """
    yield from _walk(program, program.entry, 1)


def cycles(program: Program) -> dict[str, int]:
    """Returns the compiler's estimate for one step, by kind of work.

    What contains a product counts as one, with all that is fused into it. Copies move
    elements and compute nothing; so do the slices of a loop, its stacks and their first
    zeros.
    """
    sums = dict.fromkeys((PRODUCTS, COPIES, REST), 0)
    for instruction, times in executed(program):
        sums[_kind(program, instruction)] += times * instruction.cycles
    return sums


class Spent(NamedTuple):
    """Lines of one kind, origin and array."""

    kind: str
    array: str
    origin: str
    times: int  # in a step
    cycles: int  # in a step


def longest(program: Program) -> list[Spent]:
    """Returns what the compiler expects to take long, most cycles first."""
    sums = collections.Counter()
    often = collections.Counter()
    for instruction, times in executed(program):
        if instruction.cycles:
            key = (
                _kind(program, instruction),
                str(_widest(instruction)),
                instruction.origin,
            )
            sums[key] += times * instruction.cycles
            often[key] += times
    return [Spent(*key, often[key], count) for key, count in sums.most_common()]


class Moved(NamedTuple):
    """Some lines of one kind."""

    lines: int
    times: int  # in a step
    bytes: int  # in a step, as they lie in memory


def copies(program: Program) -> dict[tuple[str, str], Moved]:
    """Returns the program's copies by array and origin, those of most bytes first."""
    return _sums(
        (
            str(_widest(instruction)),
            instruction.origin,
            _written(program, instruction),
            times,
        )
        for instruction, times in executed(program)
        if instruction.arrays and _kind(program, instruction) == COPIES
    )


def collectives(program: Program) -> dict[tuple[str, str], Moved]:
    """Returns what goes between devices by kind and dtype, most bytes first.

    Bytes are of what a device holds when it is done. The compiler may spread a
    collective over several fusions, which name the same channel: it counts once. Of
    those that stand alone all may name the same one.
    """
    rows: dict[Any, tuple[str, str, int, int]] = {}
    for instruction, times in executed(program):
        for part in (instruction, *_inside(program, instruction)):
            kind = part.opcode.removesuffix("-done")
            if kind in COLLECTIVES:
                dtypes = ", ".join(sorted({array.dtype for array in part.arrays}))
                row = (kind, dtypes, _bytes(part), times)
                spread = (part.channel, part.arrays, part.origin)
                fused = part is not instruction and part.channel
                rows.setdefault(spread if fused else part.name, row)
    return _sums(rows.values())


def prefetches(program: Program) -> Moved:
    """Returns the copies between HBM and the memories of the chip's cores."""
    copied = [
        (times, times * _bytes(instruction))
        for instruction, times in executed(program)
        if instruction.opcode in _PREFETCHES
    ]
    return Moved(
        len(copied), sum(n for n, _ in copied), sum(size for _, size in copied)
    )


def paddings(program: Program) -> dict[Array, int]:
    """Returns arrays in HBM that take more than their elements, and how many there are.

    Those come first that waste most, each.
    """
    counts = collections.Counter(
        array
        for instruction, _ in executed(program)
        if instruction.opcode not in _SILENT - {"parameter"}
        and instruction.opcode != "while"
        for array in instruction.arrays
        if array.space == HBM and array.padded_bytes > array.logical_bytes
    )
    wasted = {array: array.padded_bytes - array.logical_bytes for array in counts}
    order = sorted(counts, key=wasted.get, reverse=True)
    return {array: counts[array] for array in order}


def kernels(program: Program) -> dict[str, int]:
    """Returns hand-written kernels by name, and how often a step runs them."""
    sums = collections.Counter()
    for instruction, times in executed(program):
        if instruction.opcode == "custom-call:tpu_custom_call":
            sums[instruction.origin] += times
    return dict(sums)


def _instruction(name: str, text: str) -> Instruction | None:
    end = _closing(text, 0) if text.startswith("(") else text.find(" ")
    opcode = _OPCODE.match(text, end)
    if opcode is None:
        return None
    close = _closing(text, opcode.end() - 1)
    rest = text[close:]
    estimate = re.search(r'"estimated_cycles":"(\d+)"', rest)
    origin = re.search(r'op_name="([^"]*)"', rest)
    channel = re.search(r"channel_id=(\d+)", rest)
    target = re.search(r'custom_call_target="([^"]*)"', rest)
    kind = opcode[1] + (f":{target[1]}" if target else "")
    inner = text[opcode.end() : close - 1]
    whole = kind == "constant" and re.fullmatch(r"-?\d+", inner)
    return Instruction(
        name=name,
        opcode=kind,
        arrays=tuple(_arrays(text[:end])),
        operands=tuple(_NAMES.findall(inner)),
        called=tuple(
            (key, tuple(_NAMES.findall(names))) for key, names in _CALLED.findall(rest)
        ),
        cycles=int(estimate[1]) if estimate else 0,
        origin=origin[1] if origin else "",
        channel=channel[1] if channel else "",
        number=int(inner) if whole else None,
    )


def _closing(text: str, start: int) -> int:
    """Returns the place behind the bracket that closes the one at `start`."""
    depth = 0
    for match in re.finditer(r"[()]", text[start:]):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return start + match.end()
    return len(text)


def _arrays(text: str) -> Iterator[Array]:
    for dtype, dims, order, layout in _SHAPE.findall(text):
        tile = re.search(r"T\(([\d,]+)\)", layout)
        space = re.search(r"S\((\d+)\)", layout)
        yield Array(
            dtype,
            _numbers(dims),
            _numbers(order),
            _numbers(tile[1]) if tile else (),
            int(space[1]) if space else HBM,
        )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number)


def _bits(dtype: str) -> int:
    """Returns the bits of an element: what `bf16`, `s32` or `f8e4m3fn` begin with."""
    if dtype in _BITS:
        return _BITS[dtype]
    return int(re.match(r"[a-z]+(\d+)", dtype)[1])


def _walk(program: Program, name: str, times: int) -> Iterator[tuple[Instruction, int]]:
    for instruction in program.computations[name]:
        yield instruction, times
        inner, rounds = instruction.computations("branch_computations"), 1
        inner += instruction.computations("true_computation", "false_computation")
        if instruction.opcode == "while":
            inner = instruction.computations("body")
            rounds = _rounds(program, instruction.computations("condition")[0])
        elif instruction.opcode in ("call", "async-start"):
            inner = instruction.computations("to_apply", "calls", "called_computations")
        for part in inner:
            yield from _walk(program, part, times * rounds)


def _rounds(program: Program, condition: str) -> int:
    """Returns how often a loop runs that counts from 0 and asks for `i < rounds`."""
    root = program.computations[condition][-1]
    limits = [program.instructions[name].number for name in root.operands]
    known = [number for number in limits if number is not None]
    if len(known) != 1:
        raise ValueError(f"how often the loop of {condition} runs is not told")
    return known[0]


def _inside(program: Program, instruction: Instruction) -> Iterator[Instruction]:
    """Yields what is fused into an instruction."""
    if instruction.opcode == "fusion":
        for name in instruction.computations("calls"):
            for part in program.computations[name]:
                yield part
                yield from _inside(program, part)


def _kind(program: Program, instruction: Instruction) -> str:
    parts = [instruction, *_inside(program, instruction)]
    if any(part.opcode in ("convolution", "dot") for part in parts):
        return PRODUCTS
    # Numbers alone are the places of slices, and whether they are within bounds.
    work = {
        part.opcode
        for part in parts
        if part.opcode not in _SILENT | {"fusion"}
        and any(math.prod(array.dims) > 1 for array in part.arrays)
    }
    return COPIES if work and work <= _MOVES else REST


def _bytes(instruction: Instruction) -> int:
    return sum(array.padded_bytes for array in instruction.arrays)


def _written(program: Program, instruction: Instruction) -> int:
    """Returns the bytes that a copy writes: of a stack only the slice that is new."""
    stacks = [
        part
        for part in (instruction, *_inside(program, instruction))
        if part.opcode == "dynamic-update-slice"
    ]
    if not stacks:
        return _bytes(instruction)
    return sum(_bytes(program.instructions[part.operands[1]]) for part in stacks)


def _widest(instruction: Instruction) -> Array:
    return max(instruction.arrays, key=lambda array: array.padded_bytes)


def _sums(rows: Any) -> dict[tuple[str, str], Moved]:
    """Returns the sums of (kind, of what, bytes, times), those of most bytes first."""
    sums: dict[tuple[str, str], Moved] = {}
    for kind, what, size, times in rows:
        lines, often, total = sums.get((kind, what), (0, 0, 0))
        sums[kind, what] = Moved(lines + 1, often + times, total + times * size)
    return dict(sorted(sums.items(), key=lambda item: -item[1].bytes))
