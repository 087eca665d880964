"""The flags of a dry run for another machine, by command."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pretrain(tmp_path, *arguments):
    return subprocess.run(
        [
            *(sys.executable, ROOT / "launch" / "pretrain.py"),
            *("--config=amber_tiny.py:sa", "--workdir=run", "--config.backend=jit"),
            *arguments,
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
    )


def test_a_slice_is_emulated_lowered_for_and_priced(tmp_path):
    done = pretrain(
        tmp_path,
        *("--dry_run", "--fake_devices=16", "--platform=tpu-v5e", "--price=2"),
        "--config.row_multiple=16",
    )
    assert done.returncode == 0, done.stderr
    assert "16 devices, backend jit" in done.stdout
    assert "the train step lowers" in done.stdout
    assert "so it fits" in done.stdout
    assert "chip-hours, $" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_flags_of_a_dry_run_are_refused_without_one(tmp_path):
    done = pretrain(tmp_path, "--price=2")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --price is of a dry run")
    assert list(tmp_path.iterdir()) == []
