"""One corpus of the sample text, however it is built: killed, by tasks, by Beam."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "configs" / "corpus_sample.py"
KILLS = 20


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer") / "t"
    command = [sys.executable, ROOT / "launch" / "train_tokenizer.py"]
    config = f"--config={ROOT / 'configs' / 'tokenizer.py'}"
    subprocess.run(
        [*command, config, "--config.vocab_size=4000", f"--output={folder}"], check=True
    )
    return folder


@pytest.fixture(scope="module")
def started(vocabulary):
    """A function: a folder and flags to the running command that builds there."""

    def started(output, *flags, config=SAMPLE, python=sys.executable, stderr=None):
        return subprocess.Popen(
            [
                *(python, ROOT / "launch" / "build_corpus.py"),
                f"--config={config}",
                *(f"--config.tokenizer={vocabulary}", f"--output={output}"),
                *("--config.processes=2", "--config.unit_bytes=16384", *flags),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )

    return started


def contents(folder):
    """The bytes of each file but those of the card, which wants the extra `report`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [path for path in files if not path.name.startswith("card")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def whole(started, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "c"
    assert started(folder).wait() == 0
    return contents(folder)


def records(output):
    """When each record of a build was written."""
    paths = output.with_name(output.name + ".partial").glob("*/*/*.json")
    return {"/".join(path.parts[-2:]): path.stat().st_mtime_ns for path in paths}


def test_a_build_killed_twenty_times_makes_the_same_bytes(started, whole, tmp_path):
    drawn = random.Random(0)
    output, before = tmp_path / "c", {}
    for _ in range(KILLS):
        process = started(output)
        wanted = len(before) + drawn.randint(1, 12)
        while len(records(output)) < wanted and process.poll() is None:
            time.sleep(0.01)
        time.sleep(drawn.random() / 20)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        time.sleep(0.2)  # until the workers notice
        now = records(output)
        # What was done is not done again; at most what was at work is lost.
        assert before.items() <= now.items()
        assert len(now) >= wanted
        before = now
    assert started(output).wait() == 0
    assert contents(output) == whole


def test_three_tasks_search_for_duplicates_in_two_rounds(started, tmp_path):
    searched = "--config.cleaning.near_duplicates=0.8"
    assert started(tmp_path / "whole", searched).wait() == 0
    output = tmp_path / "c"
    for _ in ("signed", "processed"):
        for index in range(3):
            task = started(output, searched, f"--task_index={index}", "--num_tasks=3")
            assert task.wait() == 0
        assert started(output, searched, "--merge", "--num_tasks=3").wait() == 0
    assert contents(output) == contents(tmp_path / "whole")


def test_three_tasks_and_a_merge_make_the_same_bytes(started, whole, tmp_path):
    output = tmp_path / "c"
    for index in range(3):
        task = started(output, f"--task_index={index}", "--num_tasks=3")
        assert task.wait() == 0
    assert started(output, "--merge", "--num_tasks=3").wait() == 0
    assert contents(output) == whole


@pytest.fixture(scope="module")
def beam_python(tmp_path_factory):
    """The interpreter of an environment with Beam, whose pins no other can have."""
    venv = tmp_path_factory.mktemp("beam") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--editable"]
    subprocess.run([*install, f"{ROOT}[beam]"], check=True)
    yield python
    shutil.rmtree(venv)  # gigabytes


@pytest.mark.parametrize(
    "options",
    [
        "--runner=DirectRunner",
        "--runner=DirectRunner --direct_num_workers=2 "
        "--direct_running_mode=multi_processing",
    ],
)
def test_beam_makes_the_same_bytes(started, whole, beam_python, tmp_path, options):
    output = tmp_path / "c"
    assert started(output, f"--beam={options}", python=beam_python).wait() == 0
    assert contents(output) == whole


def test_a_runner_that_beam_has_not_is_one_sentence(started, beam_python, tmp_path):
    process = started(
        tmp_path / "c",
        "--beam=--runner=NoSuchRunner",
        python=beam_python,
        stderr=subprocess.PIPE,
    )
    _, stderr = process.communicate()
    assert process.returncode == 2
    assert b"Traceback" not in stderr
    last = stderr.splitlines()[-1]  # Beam itself may warn before
    assert last.startswith(b"error: --beam=--runner=NoSuchRunner: Unexpected")


def test_what_a_worker_of_beam_cannot_read_is_one_sentence(
    started, beam_python, tmp_path
):
    cut = tmp_path / "text" / "mono" / "en.txt.gz"
    cut.parent.mkdir(parents=True)
    cut.write_bytes(b"\x1f\x8b\x08\x00")
    process = started(
        tmp_path / "c",
        "--beam=--runner=DirectRunner",
        config=f"{ROOT / 'configs' / 'corpus_folder.py'}:{cut.parents[1]}",
        python=beam_python,
        stderr=subprocess.PIPE,
    )
    _, stderr = process.communicate()
    assert process.returncode == 2
    assert b"Traceback" not in stderr
    last = stderr.splitlines()[-1]  # Beam itself may warn before
    assert b"en.txt.gz: cannot be read to its end" in last
    assert last.endswith(b".zst file")
