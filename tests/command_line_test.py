"""A user's mistake costs one sentence, exit status 2, and seconds."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_run

ROOT = Path(__file__).parents[1]
SECONDS = 45  # on a loaded machine; a few when it is idle


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_run.write_corpus(tmp_path_factory.mktemp("corpus"))


def command(name, *arguments):
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, f"launch/{name}.py", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert time.monotonic() - begin < SECONDS
    return done


def told(done, *words):
    """Asserts that one sentence with these words came, and nothing else went wrong."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert str(word) in lines[0]


def pretrain(*arguments):
    return command("pretrain", "--config=tests/tiny_run.py", *arguments)


def test_a_wrong_key_is_told_with_a_suggestion(tmp_path):
    done = pretrain("--config.sede=1", f"--workdir={tmp_path / 'run'}")
    told(done, "seed")
    assert not (tmp_path / "run").exists()


def test_a_missing_config_file_is_told(tmp_path):
    done = command("pretrain", "--config=configs/none.py", f"--workdir={tmp_path}")
    told(done, "configs/none.py")


def test_a_missing_corpus_is_told(tmp_path):
    done = pretrain(f"--config.corpus={tmp_path / 'none'}", f"--workdir={tmp_path}")
    told(done, tmp_path / "none", "build_corpus.py")


def test_a_wrong_vocabulary_is_told(corpus, tmp_path):
    broken = tmp_path / "corpus"
    shutil.copytree(corpus, broken)
    shutil.rmtree(broken / "tokenizer")
    tiny_run.save_tokenizer(broken / "tokenizer", words=70)
    done = pretrain(f"--config.corpus={broken}", f"--workdir={tmp_path / 'run'}")
    told(done, broken, "tokenizer")


def test_a_truncated_shard_is_told(corpus, tmp_path):
    broken = tmp_path / "corpus"
    shutil.copytree(corpus, broken)
    shard = next((broken / "shards").rglob("*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-5])
    done = pretrain(f"--config.corpus={broken}", f"--workdir={tmp_path / 'run'}")
    told(done, shard.name, "bytes")


def test_a_checkpoint_that_is_none_is_told(tmp_path):
    done = command(
        "evaluate",
        "--config=configs/tatoeba.py",
        f"--checkpoint={tmp_path}",
        f"--output={tmp_path / 'out'}",
    )
    told(done, tmp_path, "checkpoint")


def test_a_missing_flag_is_told():
    told(command("pretrain", "--config=tests/tiny_run.py"), "workdir")
