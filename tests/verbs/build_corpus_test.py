"""amber build_corpus as a user calls it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amber_jax.corpora.records import open_corpus

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def command(tmp_path):
    def command(*flags):
        return subprocess.run(
            [sys.executable, ROOT / "launch" / "build_corpus.py", *flags],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "40"},
            capture_output=True,
            text=True,
            check=False,
        )

    return command


CONFIG = f"--config={ROOT / 'configs' / 'corpus_sample.py'}"


def test_the_sample_corpus_is_built_and_told_about(command, tokenizer_folder, tmp_path):
    flags = CONFIG, f"--config.tokenizer={tokenizer_folder}", "--output=corpus"
    built = command(*flags)
    assert built.returncode == 0, built.stderr
    assert "en-hi" in built.stdout
    assert "evaluation sentences kept out: 0" in built.stdout
    assert "written: corpus" in built.stdout
    corpus = open_corpus(tmp_path / "corpus", verify=True)
    assert len(corpus.streams["mono"]) == 9
    assert len(corpus.streams["pair"]) == 8
    assert "kept, it is finished: corpus" in command(*flags).stdout


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_ends_the_workers_and_leaves_what_is_done(
    tokenizer_folder, tmp_path, number, status
):
    process = subprocess.Popen(
        [
            *(sys.executable, ROOT / "launch" / "build_corpus.py", CONFIG),
            *(f"--config.tokenizer={tokenizer_folder}", f"--output={tmp_path / 'c'}"),
            "--config.processes=2",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(tmp_path.glob("c.partial/*/rows/*.json")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate()  # at its end no worker holds it open
    assert (process.returncode, stderr) == (status, f"stopped by {number.name}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["c.partial"]
    assert list(tmp_path.glob("c.partial/*/rows/*.json"))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--output=corpus"], "no tokenizer or no config given"),
        ([CONFIG, "--output=corpus"], "no tokenizer or no config given"),
        ([CONFIG, "--output=c", "--config.tokenizer=none"], "none: no tokenizer"),
        ([CONFIG, "--output=c", "--config.row_lenght=8"], "row_lenght"),
        ([CONFIG], "output"),
        ([CONFIG, "--output=c", "--num_tasks=2"], "--num_tasks alone does nothing"),
        ([CONFIG, "--output=c", "--task_index=2", "--num_tasks=2"], "wanted 0 to 1"),
    ],
)
def test_mistakes_are_told_in_one_sentence(command, flags, sentence):
    failed = command(*flags)
    assert failed.returncode == 2
    assert sentence in failed.stderr
    assert failed.stderr.count("\n") == 1
