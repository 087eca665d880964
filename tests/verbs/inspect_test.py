"""amber inspect as a user calls it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_run

from amber_jax.corpora.packing import taken_apart
from amber_jax.corpora.records import open_corpus, read_rows
from amber_jax.tokenization import load_tokenizer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def command():
    def command(*arguments):
        return subprocess.run(
            [sys.executable, ROOT / "launch" / "inspect_.py", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    return command


def test_rows_of_a_corpus_are_text(command, tmp_path):
    corpus = open_corpus(tiny_run.write_corpus(tmp_path / "c"), verify=True)
    tokenizer = load_tokenizer(tmp_path / "c" / "tokenizer")
    shown = command(tmp_path / "c", "--rows=2")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("corpus of 4 streams, rows of 32 tokens")
    for kind, streams in corpus.streams.items():
        for name, stream in streams.items():
            (start,) = (
                n for n, x in enumerate(lines) if x.startswith(f"{kind} {name}:")
            )
            rows = read_rows(corpus, stream, np.array([0, stream.rows - 1]))
            pairs = [*taken_apart(rows[:1], row_length=32)]
            wanted = [tokenizer.decode(ids) for pair in pairs for ids in pair if ids]
            sides = [line[6:] for line in lines[start + 2 : start + 2 + len(wanted)]]
            assert sides == wanted
            last = f"  row {stream.rows - 1:,}: {rows[1, 32:].sum()} of 32 tokens"
            assert last in lines[start:]


def test_one_stream_as_pieces(command, tmp_path):
    tiny_run.write_corpus(tmp_path / "c")
    shown = command(tmp_path / "c", "--rows=1", "--stream=en-fr", "--pieces").stdout
    assert "pair en-fr:" in shown
    assert "mono" not in shown
    failed = command(tmp_path / "c", "--stream=en-rf").stderr
    assert "has no stream 'en-rf'; did you mean en-fr?" in failed


def test_a_checkpoint_is_told_in_words(command, checkpoint):
    for folder in (checkpoint, checkpoint / "checkpoints" / "5"):
        shown = command(folder)
        assert shown.returncode == 0, shown.stderr
        assert "num_layers 2, hidden_size 16" in shown.stdout


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_it_takes_one_folder(command, arguments):
    failed = command(*arguments)
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)


def test_a_folder_that_is_none_of_ours_is_one_sentence(command, tmp_path):
    failed = command(tmp_path)
    assert failed.returncode == 2
    assert "is no corpus, run or checkpoint; wanted" in failed.stderr
    assert failed.stderr.count("\n") == 1
