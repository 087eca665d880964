"""XTREME's scores of two folders, by command."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def score(*arguments):
    return subprocess.run(
        [sys.executable, "launch/score.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def write(folder, text):
    (folder / "xnli").mkdir(parents=True)
    (folder / "xnli" / "test-de.tsv").write_text(text)
    return folder


def test_folders_are_scored_and_short_files_refused(tmp_path):
    labels = write(tmp_path / "labels", "neutral\nentailment\nneutral\nneutral\n")
    good = write(tmp_path / "good", "neutral\nneutral\nneutral\nneutral\n")
    done = score(f"--predictions={good}", f"--labels={labels}")
    assert done.stdout == "xnli accuracy: de 75.0, average 75.0\n", done.stderr
    short = write(tmp_path / "short", "neutral\n")
    done = score(f"--predictions={short}", f"--labels={labels}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
