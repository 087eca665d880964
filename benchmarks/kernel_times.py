"""Where a traced step's time goes on an accelerator, by its kernels.

Every kernel belongs to an instruction of the compiled program, whose text tells the
module that it computes. On GPUs XLA runs most of a program as command buffers, which
hide their kernels from a trace: what is traced is compiled without them (`OPTIONS`).
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

OPTIONS = {"gpu": {"xla_gpu_enable_command_buffer": ""}}
"""Compiler options of programs that are traced, by platform."""
_PRODUCT = re.compile(r"nvjet|gemm|cutlass|cublas|xmma|splitK|dot", re.IGNORECASE)
_FUSED_ATTENTION = re.compile(r"attention_(for|back)ward")
_COPY = re.compile(r"memcpy|memset|copy", re.IGNORECASE)
# Of an instruction's path; the first that matches.
_PARTS = (
    ("update", r"/update\b"),
    ("vocabulary", r"/masked_lm\b|mlm_head"),
    ("embeddings", r"/embeddings\b"),
    ("norms", r"norm\b"),
    ("attention", r"/attention\b"),
    ("feed-forward", r"/intermediate|/output|_finish"),
)
_INSTRUCTION = re.compile(r'^\s*(?:ROOT )?%?([\w.\-]+) = .*op_name="([^"]*)"', re.M)


class Kernel(NamedTuple):
    """All runs of one kernel for one instruction."""

    name: str
    instruction: str  # of the compiled program; "" where the trace tells none
    seconds: float
    runs: int


def traced(run: Callable[[], Any]) -> list[Kernel]:
    """Returns the kernels that `run` starts, which waits for them to end."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            run()
        (path,) = Path(folder).rglob("*.xplane.pb")
        return kernels(jax.profiler.ProfileData.from_file(str(path)).planes)


def kernels(planes: Iterable[Any]) -> list[Kernel]:
    """Returns the kernels of a trace, longest first.

    Of a GPU's plane every event of a stream is one; on a CPU those are that name an
    instruction.
    """
    seconds: dict[tuple[str, str], list[float]] = {}
    for plane in planes:
        on_gpu = plane.name.startswith("/device:GPU")
        for line in plane.lines:
            if on_gpu and not line.name.startswith("Stream"):
                continue  # the same kernels once more, by module or by operation
            for event in line.events:
                instruction = dict(event.stats).get("hlo_op")
                if instruction is None and not on_gpu:
                    continue
                key = (event.name, instruction or "")
                seconds.setdefault(key, []).append(event.duration_ns / 1e9)
    totals = [Kernel(*key, sum(spans), len(spans)) for key, spans in seconds.items()]
    return sorted(totals, key=lambda kernel: -kernel.seconds)


def parts(text: str) -> dict[str, str]:
    """Returns instruction -> part of the step, from `Compiled.as_text()`."""
    return {name: _part(path) for name, path in _INSTRUCTION.findall(text)}


def _part(path: str) -> str:
    for part, pattern in _PARTS:
        if re.search(pattern, path):
            return part
    return "other"


def by_class(
    traced_kernels: Iterable[Kernel], part_of: Mapping[str, str]
) -> dict[str, float]:
    """Returns class -> milliseconds, longest first.

    Products, fused attention and copies are classes of their own, each by part of the
    step; what is left of a part is what XLA made of its element-wise work.
    """
    milliseconds: dict[str, float] = {}
    for kernel in traced_kernels:
        part = part_of.get(kernel.instruction, "other")
        name = f"{part}: {_kind(kernel)}"
        milliseconds[name] = milliseconds.get(name, 0.0) + 1e3 * kernel.seconds
    return dict(sorted(milliseconds.items(), key=lambda item: -item[1]))


def _kind(kernel: Kernel) -> str:
    for kind, pattern in (
        ("fused attention", _FUSED_ATTENTION),
        ("copies", _COPY),
        ("products", _PRODUCT),
    ):
        if pattern.search(kernel.name):
            return kind
    return "element-wise"


def longest(
    traced_kernels: Iterable[Kernel], part_of: Mapping[str, str], count: int
) -> list[dict[str, Any]]:
    """Returns the kernels that take longest, those of one name and part together."""
    together: dict[tuple[str, str], list[float]] = {}
    for kernel in traced_kernels:
        # XLA numbers what it fuses: the same in every layer is one.
        name = re.sub(r"[_.]\d+\b", "", kernel.name)
        key = (name, part_of.get(kernel.instruction, "other"))
        seconds, runs = together.setdefault(key, [0.0, 0])
        together[key] = [seconds + kernel.seconds, runs + kernel.runs]
    rows = [
        {"kernel": name[:100], "part": part, "ms": 1e3 * seconds, "runs": int(runs)}
        for (name, part), (seconds, runs) in together.items()
    ]
    return sorted(rows, key=lambda row: -row["ms"])[:count]
