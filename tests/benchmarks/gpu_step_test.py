"""What is measured on a GPU, in miniature, on a CPU."""

import concurrent.futures
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from benchmarks import gpu_peer, gpu_step, workload

ROOT = Path(__file__).parents[2]
_READY = "print('ready', flush=True); input()"


def test_a_section_that_there_is_not_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_step", "--sections=works,sums"],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "flag --sections=" in done.stderr and "'sums'" in done.stderr


def test_a_program_that_does_not_compile_says_so_and_the_rest_goes_on(capsys):
    broken, ready = concurrent.futures.Future(), concurrent.futures.Future()
    broken.set_exception(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: shared"))
    ready.set_result("a step")
    steps = list(gpu_step.compiled_ones({"large": broken, "small": ready}))
    assert steps == [("small", "a step")]
    record = json.loads(capsys.readouterr().out)
    assert record["does_not_compile"] == "large"
    assert "RESOURCE_EXHAUSTED" in record["error"]


@pytest.mark.parametrize(
    ("program", "limit", "figures"),
    [
        (f"{_READY}; print('{{\"step_ms\": 3}}')", 60, {"step_ms": 3}),
        (f"{_READY}; sys.exit('no torch')", 60, "no torch"),
        ("time.sleep(60)", 0, "left out"),
    ],
)
def test_a_peer_gives_its_figures_or_a_sentence(tmp_path, program, limit, figures):
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\nimport sys, time\n{program}\n")
    python.chmod(0o755)
    size = workload.sized("tiny", row_length=32, rows=2)
    run = SimpleNamespace(size=size, steps=1, warmup=1)
    cpu = SimpleNamespace(platform="cpu")
    peer = gpu_peer.start(str(python), "tiny", run, cpu)
    measured = gpu_peer.measure(peer, time.monotonic() + limit)
    assert measured == figures if isinstance(figures, dict) else figures in measured
    assert peer.process.returncode is not None and peer.errors.closed
