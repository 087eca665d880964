"""What `kill -9` leaves of a command, and what the same command makes of it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_checkpoint

from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import SPECIAL_PIECES

ROOT = Path(__file__).parents[1]
LINES = 33_000  # two windows of sentences


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tiny model and two texts without a line twice."""
    folder = tmp_path_factory.mktemp("killed")
    vocabulary = folder / "vocab.txt"
    digits = map(str, range(10))
    vocabulary.write_text("\n".join([*SPECIAL_PIECES, *digits]) + "\n", "utf-8")
    tiny_checkpoint.write(folder / "model", load_tokenizer(vocabulary))
    for name, rows in (("few", range(9_000, 9_100)), ("many", range(LINES))):
        text = "".join(f"{' '.join(str(row))}\n" for row in rows)
        (folder / name).write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize(
    ("verb", "inputs", "progress"),
    [
        ("embed", ["--input=many"], "vectors.progress"),
        ("mine", ["--src=few", "--tgt=many"], "tgt.progress"),
    ],
)
def test_a_killed_command_goes_on_to_the_same_bytes(folder, verb, inputs, progress):
    def started(output):
        command = [sys.executable, ROOT / "launch" / f"{verb}.py", "--checkpoint=model"]
        return subprocess.Popen(
            [*command, *inputs, f"--output={output}"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
            stdout=subprocess.DEVNULL,
        )

    assert started(f"{verb}-whole").wait() == 0
    partial = folder / f"{verb}-killed.partial"
    process = started(f"{verb}-killed")
    while not (partial / progress).exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -9
    assert (partial / progress).exists()
    assert started(f"{verb}-killed").wait() == 0
    assert not partial.exists()
    whole, killed = (folder / f"{verb}-{name}" for name in ("whole", "killed"))
    assert killed.read_bytes() == whole.read_bytes()


def test_seeded_kills_at_bad_moments_lose_nothing(tmp_path):
    arguments = [f"--folder={tmp_path}", "--kills=4", "--seed=1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "kills.jsonl").open()]
    assert [line["lost"] for line in lines] == [[]] * 4
    assert any(line["work"] == "pretraining" for line in lines)
