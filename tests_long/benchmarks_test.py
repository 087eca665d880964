"""Benchmarks whose miniatures take a minute."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from amber_jax.model import flops
from benchmarks import gpu_resume, operations, own_step
from benchmarks.workload import MASKING_RATE

ROOT = Path(__file__).parents[1]


def test_one_call_measures_the_sections_of_a_gpu_that_are_asked_for():
    interpreter = Path(sys.executable).parent
    quick = {
        "SMALL": "1",
        "PATH": f"{interpreter}{os.pathsep}{os.environ['PATH']}",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    done = subprocess.run(
        [
            "benchmarks/gpu.sh",
            "--sections=works,kernels,equality,changes,resume,blocks",
        ],
        cwd=ROOT,
        env=os.environ | quick,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(x) for x in done.stdout.splitlines() if x.startswith("{")]
    by_kind = {next(iter(line)): line for line in lines}
    assert {"device", "matrix_tflops", "work", "kernels_of", "change"} <= set(by_kind)
    assert sum("work" in line for line in lines) == 3
    assert by_kind["work"]["mfu"] >= 0 and by_kind["work"]["tokens_per_s"] > 0
    assert by_kind["kernels_of"]["runs"] > 0
    kernel, written = (by_kind["equality_of_rows"][x] for x in ("triton", "written"))
    assert max(kernel) <= max(written) < 0.01
    assert by_kind["resumed_has_the_same_bits"]["resumed_has_the_same_bits"]
    changes = {line["change"] for line in lines if "change" in line}
    assert {"no dropout", gpu_resume.NAME} < changes
    blocks = [line for line in lines if "blocks" in line]
    assert {line["blocks"].split()[0] for line in blocks} == {"forward", "backward"}
    assert all(line["us"] > 0 for line in blocks)
    assert "nearest neighbors" in done.stdout
    assert re.search(r"\d passed", done.stdout)


def test_the_command_tells_the_steps_arithmetic(tmp_path):
    path = tmp_path / "operations.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.operations"),
            *("--size=tiny", f"--json={path}"),
        ],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-500:]
    ((_, rows),) = json.loads(path.read_text()).items()
    (gflop,) = (row["GFLOP"] for row in rows if row["what"] == "all")
    run = operations.settings("tiny")
    spans = np.array([[[run.size.row_length, 0]]] * run.size.rows)
    config = own_step.encoder_config(run)
    needed = flops.masked_lm(
        config, spans, row_length=run.size.row_length, masking_rate=MASKING_RATE
    )
    assert gflop == pytest.approx(needed / 1e9, rel=0.15)  # filler slots are computed
    assert gflop > 0.99 * needed / 1e9
