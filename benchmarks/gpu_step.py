"""All that is measured on one accelerator, section by section.

    python -m benchmarks.gpu_step --peer_python=PEER/bin/python
    python -m benchmarks.gpu_step --size=tiny --shrink=64 --steps=2     # in miniature

Needs jax, flax, optax, chex, orbax and numpy: no TensorFlow, no library of configs.
One line of JSON for every figure, as soon as it is there, in this order:

    peer      the reference library's step, compiled, on the first work
    works     masked_lm on rows of 128, all losses, rows of 512: MFU, memory, compiling
    kernels   where a work's time goes, by class and by name; after each work
    equality  the attention kernel beside the written form, gradients included
    changes   the first work with each form of the step exchanged in turn
    resume    whether a run that was resumed has the same bits, and what that costs
    blocks    the attention kernel cut in other ways

Programs are compiled side by side, and none runs while another is compiled. They are
compiled without command buffers, which would hide the kernels from a trace.
"""

import concurrent.futures
import dataclasses
import importlib.metadata
import json
import platform
import statistics
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from absl import app, flags

from amber_jax.inference.devices import suited_to
from amber_jax.losses import LOSSES
from amber_jax.model.kernels import FORMS
from amber_jax.training.peak import matrix_rate
from benchmarks import (
    gpu_attention,
    gpu_peer,
    gpu_resume,
    kernel_times,
    own_step,
    workload,
)

SECTIONS = ("peer", "works", "kernels", "equality", "changes", "resume", "blocks")
_SIZE = flags.DEFINE_enum("size", "base", [*workload.SIZES], "of the model")
_SHRINK = flags.DEFINE_integer("shrink", 1, "rows are divided by this", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 10, "timed ones", lower_bound=1)
_SECTIONS = flags.DEFINE_list("sections", list(SECTIONS), "what is measured")
flags.register_validator(
    "sections",
    lambda names: set(names) <= set(SECTIONS),
    f"choose among {', '.join(SECTIONS)}, with commas between",
)
_PEER = flags.DEFINE_string("peer_python", "", "with torch; empty: no peer")
_PEER_LIMIT = flags.DEFINE_float("peer_limit_s", 150.0, "until the peer is compiled")
_WARMUP = 2
_LONGEST = 10  # kernels
_DISTRIBUTIONS = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class Work(NamedTuple):
    """Rows of a batch, and what is computed of them."""

    lengths: str
    rows: int
    row_length: int
    losses: tuple[str, ...]


_WORKS = {
    "masked_lm 256 x 128": Work("full", 256, 128, LOSSES[:1]),
    "all losses 128 x 256": Work("pairs", 128, 256, LOSSES),
    "masked_lm 64 x 512": Work("full", 64, 512, LOSSES[:1]),
}


class Program(NamedTuple):
    """A step that is to be compiled."""

    run: own_step.Settings
    options: Mapping[str, Any] = {}  # of the compiler, besides those of all


def works() -> dict[str, Program]:
    """Returns the steps that are aimed at, the shortest first."""
    return {name: Program(_settings(work)) for name, work in _WORKS.items()}


def changes(device: Any) -> dict[str, Program]:
    """Returns the first work with something exchanged, by what that is."""
    first = next(iter(works().values())).run
    programs = {"no dropout": Program(dataclasses.replace(first, dropout=0.0))}
    suited = dataclasses.asdict(suited_to(device))
    for field in ("attention", "heads", "layers"):
        plain = {"layers": "loop"}.get(field, FORMS[field][0])
        if plain != suited[field]:
            programs[f"{field} {plain}"] = _with(first, f"{field}={plain}")
    if device.platform == "gpu":
        programs["products tried in Triton"] = Program(
            first, {"xla_gpu_enable_triton_gemm": True}
        )
    return programs


def _with(run: own_step.Settings, form: str) -> Program:
    return Program(dataclasses.replace(run, kernels=(form,)))


def _settings(work: Work) -> own_step.Settings:
    wide = jax.devices()[0].platform == "cpu"
    count = max(1, work.rows // _SHRINK.value)
    return own_step.Settings(
        size=workload.sized(_SIZE.value, row_length=work.row_length, rows=count),
        lengths=work.lengths,
        packed=True,
        losses=work.losses,
        backend="jit",
        dtype="float32" if wide else "bfloat16",
        dropout=0.1,
        micro_batches=1,
        steps=_STEPS.value,
        warmup=_WARMUP,
        seed=0,
        wait_idle=False,
    )


class Compiled(NamedTuple):
    """A step that is ready to run."""

    program: Program
    prepared: own_step.Prepared
    seconds: float  # that compiling took


class Compiler:
    """Compiles programs side by side."""

    def __init__(self, device: Any) -> None:
        """Takes as many at once as the machine stands."""
        threads = 2 if device.platform == "cpu" else 8
        self._pool = concurrent.futures.ThreadPoolExecutor(threads)
        self._options = kernel_times.OPTIONS.get(device.platform, {})

    def start(self, programs: Mapping[str, Program]) -> dict[str, Any]:
        """Returns futures of `Compiled`, by name."""
        return {
            name: self._pool.submit(self._compile, program)
            for name, program in programs.items()
        }

    def _compile(self, program: Program) -> Compiled:
        begin = time.perf_counter()
        options = {**self._options, **program.options}
        prepared = own_step.prepare(program.run, options)
        return Compiled(program, prepared, round(time.perf_counter() - begin, 1))


def say(**figures: Any) -> None:
    """Prints a line."""
    print(json.dumps(figures), flush=True)


def measure(step: Compiled, rate: float) -> dict[str, Any]:
    """Returns what a line tells of a step; `rate` is the chip's FLOP/s."""
    run, prepared = step.program.run, step.prepared
    state = jax.tree.map(lambda x: x.copy(), prepared.state)
    batches = [prepared.put_batch(host_batch) for host_batch in prepared.batches]
    for batch in batches[: run.warmup]:
        state, metrics = prepared.step(state, batch, prepared.key)
    float(metrics["loss"])
    begin = time.perf_counter()
    for batch in batches[run.warmup :]:
        state, metrics = prepared.step(state, batch, prepared.key)
    loss = float(metrics["loss"])
    seconds = (time.perf_counter() - begin) / run.steps
    spans = [inputs["span_lengths"] for b in prepared.batches for inputs in b.values()]
    tokens = statistics.mean(int(lengths.sum()) for lengths in spans[run.warmup :])
    needed = statistics.mean(own_step.needed_flops(run, s) for s in spans[run.warmup :])
    memory = prepared.step.memory_analysis()
    return {
        "ms": round(1e3 * seconds, 2),
        "mfu": round(needed / seconds / rate, 4),
        "tokens_per_s": round(tokens / seconds),
        "temporaries_mb": memory.temp_size_in_bytes // 2**20,
        "arguments_mb": memory.argument_size_in_bytes // 2**20,
        "compile_s": step.seconds,
        "loss": round(loss, 4),
    }


def show_kernels(name: str, prepared: own_step.Prepared) -> None:
    """Prints where the time of one step goes; takes its state."""
    batch = prepared.put_batch(prepared.batches[0])
    state, _ = prepared.step(prepared.state, batch, prepared.key)

    def once() -> None:
        _, metrics = prepared.step(state, batch, prepared.key)
        float(metrics["loss"])

    kernels = kernel_times.traced(once)
    parts = kernel_times.parts(prepared.step.as_text())
    total = sum(kernel.seconds for kernel in kernels)
    runs = sum(kernel.runs for kernel in kernels)
    say(kernels_of=name, ms=round(1e3 * total, 2), runs=runs)
    for kind, ms in kernel_times.by_class(kernels, parts).items():
        print(f"  {ms:9.3f} ms          {kind}")
    for row in kernel_times.longest(kernels, parts, _LONGEST):
        shown = f"{row['ms']:9.3f} ms x {row['runs']:4d}   {row['part']:14s}"
        print(f"  {shown} {row['kernel']}", flush=True)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    return versions | {
        name: importlib.metadata.version(name) for name in _DISTRIBUTIONS
    }


def compiled_ones(compiled: Mapping[str, Any]) -> Any:
    """Yields every name with its step when all are compiled, and keeps none.

    Of one that does not compile a line says so.
    """
    concurrent.futures.wait(compiled.values())
    for name in list(compiled):
        try:
            step = compiled.pop(name).result()
        except jax.errors.JaxRuntimeError as error:  # more than the chip has
            say(does_not_compile=name, error=str(error)[:300])
            continue
        yield name, step


def main(_: list[str]) -> None:
    wanted = set(_SECTIONS.value)
    device = jax.devices()[0]
    on_cpu = device.platform == "cpu"
    dtype, width = ("float32", 512) if on_cpu else ("bfloat16", own_step.MATRIX_WIDTH)
    say(device=device.device_kind, **_versions())
    rate = matrix_rate(dtype, width=width)
    say(matrix_tflops=round(rate / 1e12, 3), of=dtype)
    compiler, begin = Compiler(device), time.monotonic()
    first = compiler.start(works() if wanted & {"works", "kernels"} else {})
    peer = None
    if "peer" in wanted and _PEER.value:
        run = next(iter(works().values())).run
        peer = gpu_peer.start(_PEER.value, _SIZE.value, run, device)
    concurrent.futures.wait(first.values())
    if peer is not None:
        say(peer=gpu_peer.measure(peer, begin + _PEER_LIMIT.value))
    for name, step in compiled_ones(first):
        say(work=name, **measure(step, rate))
        if "kernels" in wanted:
            show_kernels(name, step.prepared)
    if "equality" in wanted:
        for line in gpu_attention.differences(device):
            say(**line)
    exchanged = changes(device) if "changes" in wanted else {}
    if "resume" in wanted:
        options = {} if on_cpu else {"xla_gpu_deterministic_ops": True}
        exchanged[gpu_resume.NAME] = Program(next(iter(works().values())).run, options)
    for name, step in compiled_ones(compiler.start(exchanged)):
        say(change=name, **measure(step, rate))
        if name == gpu_resume.NAME:
            say(resumed_has_the_same_bits=gpu_resume.same_bits(step.prepared))
    if "blocks" in wanted:
        shapes = [
            (work.rows, work.row_length, work.lengths) for work in _WORKS.values()
        ]
        shapes = [(1, 32, "full")] if on_cpu else shapes
        for line in gpu_attention.cuts(device, shapes):
            say(**line)


if __name__ == "__main__":
    app.run(main)
