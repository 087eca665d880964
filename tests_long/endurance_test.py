"""Training that is stopped and killed again and again, in miniature."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_restarts_leave_a_whole_log(tmp_path):
    arguments = ["--hours=0.01", "--restarts=2", "--save_every=10"]
    arguments += ["--layers=1", "--width=16"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.endurance",
            f"--folder={tmp_path}",
            *arguments,
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "not in the log: none" in done.stdout
    starts = [json.loads(line) for line in (tmp_path / "starts.jsonl").open()]
    assert len(starts) >= 2
    assert all(start["to step"] > start["from step"] for start in starts)
    assert {start["signal"] for start in starts} == {"SIGKILL", "SIGTERM"}
    assert all(start["descriptors"] for start in starts)
