"""From the start of a process to the end of its first training step.

python -m benchmarks.start [--size=small] [--rounds=3]

Cold runs have an empty compilation cache, warm ones that of a run before; they take
turns. Two more runs tell where the time goes: one with Python's -X importtime, one
with JAX's log of what it traces and compiles.
"""

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from absl import flags

from amber_jax.commands import command_line
from amber_jax.errors import UserError
from benchmarks import tables, workload

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("jax", "flax", "optax", "orbax", "tensorflow", "numpy", "ml_collections")
OURS = "amber_jax"
_PHASES = {
    "tracing": re.compile(r"Finished tracing .* in ([\d.]+) sec"),
    "lowering": re.compile(r"Finished jaxpr to MLIR .* in ([\d.]+) sec"),
    "compiling or loading": re.compile(r"Finished XLA compilation .* in ([\d.]+) sec"),
}
_IMPORT = re.compile(r"import time:\s+\d+ \|\s+(\d+) \|( +)(\S+)")


class Start(NamedTuple):
    """One new process up to its first step."""

    wall: float  # seconds to the end of the first step
    cpu: float  # CPU-seconds of the whole process, one more step included
    log: str  # its stderr


def first_step(
    size: str,
    cache: Path,
    *,
    python: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> Start:
    """Returns the start of a new training process.

    Raises:
        UserError: the program failed.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [
            *(sys.executable, *python, "-m", "benchmarks.training_step"),
            *(f"--size={size}", "--steps=1", "--warmup=1"),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            **(environment or {}),
        },
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise UserError(f"benchmarks.training_step failed: {reason}")
    result = json.loads(done.stdout.strip().rpartition("\n")[2])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Start(result["first_step_s"], cpu, done.stderr)


def in_turns(size: str, folder: Path, *, rounds: int) -> list[tables.Row]:
    """Returns a row each for cold and warm starts; `folder`/0 is left warm."""
    starts: dict[str, list[Start]] = {"cold": [], "warm": []}
    for number in range(rounds):
        for measured in starts.values():
            measured.append(first_step(size, folder / str(number)))
    return [
        {
            "compilation cache": name,
            "first step, s": statistics.median(start.wall for start in measured),
            "fastest, s": min(start.wall for start in measured),
            "slowest, s": max(start.wall for start in measured),
            "CPU-s, with one more step": statistics.median(
                start.cpu for start in measured
            ),
        }
        for name, measured in starts.items()
    ]


def spent(size: str, cache: Path) -> list[tables.Row]:
    """Returns where a start from a warm cache spends its time, one row a part."""
    imports = first_step(size, cache, python=("-X", "importtime")).log
    with_log, _, log = first_step(size, cache, environment={"JAX_LOG_COMPILES": "1"})
    parts = {f"import {name}": seconds for name, seconds in imported(imports).items()}
    compiled = {
        name: sum(map(float, pattern.findall(log))) for name, pattern in _PHASES.items()
    }
    rest = {
        "the rest: interpreter, parameters, batches, the step": with_log
        - sum(parts.values())
        - sum(compiled.values())
    }
    return [
        {"part": name, "seconds": seconds}
        for name, seconds in {**parts, **compiled, **rest, "all": with_log}.items()
    ]


def imported(log: str) -> dict[str, float]:
    """Returns seconds by library from what -X importtime logged.

    A module's time is that of the outermost library on the way to it: what jax
    imports counts as jax's.
    """
    # The log tells a module after those that it imports, each two spaces deeper.
    lines = [(int(us), len(gap), name) for us, gap, name in _IMPORT.findall(log)]
    seconds = dict.fromkeys((*LIBRARIES, "other"), 0.0)
    inside: list[tuple[int, str]] = []  # (depth, library) around the module
    for microseconds, depth, name in reversed(lines):
        while inside and inside[-1][0] >= depth:
            inside.pop()
        library = name.partition(".")[0]
        if inside or library in (OURS, "benchmarks"):
            continue
        seconds[library if library in LIBRARIES else "other"] += microseconds / 1e6
        inside.append((depth, library))
    return seconds


def define_flags() -> None:
    flags.DEFINE_enum("size", "small", [*workload.SIZES], "of the model")
    flags.DEFINE_integer("rounds", 3, "cold and warm", lower_bound=1)
    tables.define_flag()


def main(_: list[str]) -> None:
    wanted = flags.FLAGS
    with tempfile.TemporaryDirectory() as folder:
        rows = in_turns(wanted.size, Path(folder), rounds=wanted.rounds)
        parts = spent(wanted.size, Path(folder) / "0")
    tables.show(
        {
            f"Process start to first step, size {wanted.size}": rows,
            "A warm start in parts": parts,
        },
        wanted.json,
    )


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
