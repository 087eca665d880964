"""Where a trace says that the time went: kernels, parts of the step, classes."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from benchmarks import kernel_times
from benchmarks.kernel_times import Kernel

TEXT = """\
  %fusion.1 = f32[4]{0} fusion(%a), metadata={op_name="jit(step)/layer/attention/dot"}
  ROOT fusion.2 = f32[4]{0} fusion(%b), metadata={op_name="jit(step)/update/mul"}
  custom.3 = f32[4]{0} custom-call(%c), metadata={op_name="x/attention.mixed/call"}
  norm.4 = f32[4]{0} fusion(%d), metadata={op_name="x/attention_norm/mul"}
  other.5 = f32[4]{0} fusion(%e), metadata={op_name="x/gather"}
"""
PARTS = {
    "fusion.1": "attention",
    "fusion.2": "update",
    "custom.3": "attention",
    "norm.4": "norms",
    "other.5": "other",
}


def event(name, milliseconds, instruction=None):
    stats = [] if instruction is None else [("hlo_op", instruction)]
    return SimpleNamespace(name=name, duration_ns=1e6 * milliseconds, stats=stats)


def plane(name, **lines):
    return SimpleNamespace(
        name=name,
        lines=[
            SimpleNamespace(name=line.replace("_", " "), events=events)
            for line, events in lines.items()
        ],
    )


def test_of_a_gpu_the_streams_events_are_the_kernels():
    events = [event("gemm", 2, "fusion.1"), event("gemm", 3, "fusion.1")]
    gpu = plane(
        "/device:GPU:0",
        Stream_7=[*events, event("MemcpyD2H", 1)],
        XLA_Ops=events,  # the same once more
    )
    host = plane("/host:CPU", python=[event("main", 100)])
    assert kernel_times.kernels([gpu, host]) == [
        Kernel("gemm", "fusion.1", pytest.approx(5e-3), 2),
        Kernel("MemcpyD2H", "", pytest.approx(1e-3), 1),
    ]


def test_on_a_cpu_kernels_are_what_names_an_instruction():
    cpu = plane("/host:CPU", pool=[event("dot.1", 4, "dot.1"), event("wait", 9)])
    assert kernel_times.kernels([cpu]) == [
        Kernel("dot.1", "dot.1", pytest.approx(4e-3), 1)
    ]


def test_parts_are_read_off_the_paths_of_instructions():
    assert kernel_times.parts(TEXT) == PARTS


def test_classes_are_parts_and_kinds_and_the_longest_come_first():
    kernels = [
        Kernel("nvjet_tst", "fusion.1", 1e-3, 1),
        Kernel("attention_forward", "custom.3", 4e-3, 2),
        Kernel("loop_multiply_fusion", "fusion.2", 2e-3, 1),
        Kernel("MemcpyD2H", "", 3e-3, 1),
    ]
    milliseconds = kernel_times.by_class(kernels, PARTS)
    assert list(milliseconds.items()) == [
        ("attention: fused attention", pytest.approx(4)),
        ("other: copies", pytest.approx(3)),
        ("update: element-wise", pytest.approx(2)),
        ("attention: products", pytest.approx(1)),
    ]


def test_kernels_that_differ_by_number_alone_are_one_row():
    kernels = [
        Kernel("fusion_12", "fusion.1", 1e-3, 1),
        Kernel("fusion_7", "custom.3", 2e-3, 3),
        Kernel("fusion_7", "fusion.2", 1e-3, 1),
    ]
    first, second = kernel_times.longest(kernels, PARTS, 5)
    assert (first["kernel"], first["part"], first["runs"]) == ("fusion", "attention", 4)
    assert first["ms"] == pytest.approx(3)
    assert second["part"] == "update"
    assert len(kernel_times.longest(kernels, PARTS, 1)) == 1


def test_what_runs_here_is_traced():
    @jax.jit
    def work(x):
        return jnp.sin(x @ x).sum()

    x = jnp.ones((64, 64))
    names = kernel_times.parts(work.lower(x).compile().as_text())
    kernels = kernel_times.traced(lambda: work(x).block_until_ready())
    assert kernels and {kernel.instruction for kernel in kernels} & set(names)
