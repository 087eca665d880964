import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from full_disk import full_disk

from amber_jax.errors import UserError
from amber_jax.training.metrics import MetricsLog, TensorBoardWriter, read_metrics

ROOT = Path(__file__).parents[2]


def train_record(step, loss=1.5):
    return {"kind": "train", "step": step, "stage": "mono", "loss": loss}


def write_steps(directory, steps, *, resume_step=0):
    log = MetricsLog(directory, resume_step=resume_step)
    for step in steps:
        log.write(train_record(step))
    log.close()
    return directory / "metrics.jsonl"


def test_records_come_back_as_they_were_written(tmp_path):
    record = {"kind": "train", "step": 3, "stage": "mono", "loss": 0.1 + 0.2}
    log = MetricsLog(tmp_path, resume_step=0)
    log.write(record)
    log.close()
    assert read_metrics(tmp_path / "metrics.jsonl") == [record]


def test_a_line_is_on_disk_as_soon_as_it_is_written(tmp_path):
    log = MetricsLog(tmp_path, resume_step=0)
    log.write(train_record(1))
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_number_that_is_not_finite_becomes_null(tmp_path, value):
    log = MetricsLog(tmp_path, resume_step=0)
    log.write(train_record(1, loss=value))
    text = (tmp_path / "metrics.jsonl").read_text()
    assert '"loss": null' in text


def test_numpy_scalars_are_written_as_plain_numbers(tmp_path):
    log = MetricsLog(tmp_path, resume_step=0)
    log.write({"step": np.int64(7), "loss": np.float32(0.5)})
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 7, "loss": 0.5}]


def test_resuming_cuts_exactly_the_steps_after_the_checkpoint(tmp_path):
    path = write_steps(tmp_path, range(1, 8))
    write_steps(tmp_path, [5], resume_step=4)
    assert [record["step"] for record in read_metrics(path)] == [1, 2, 3, 4, 5]


def test_an_interrupted_and_resumed_log_equals_an_unbroken_one(tmp_path):
    whole = write_steps(tmp_path / "whole", range(1, 10))
    write_steps(tmp_path / "parts", range(1, 7))
    parts = write_steps(tmp_path / "parts", range(5, 10), resume_step=4)
    assert parts.read_bytes() == whole.read_bytes()


def test_a_log_cut_at_any_byte_can_be_resumed(tmp_path):
    path = write_steps(tmp_path, [1, 2])
    content = path.read_bytes()
    first_line = content.index(b"\n") + 1
    for end in range(len(content)):
        path.write_bytes(content[:end])
        steps = [record["step"] for record in read_metrics(path)]
        # A line is whole as soon as its closing brace is there.
        assert steps == [1, 2][: (end >= first_line - 1) + (end >= len(content) - 1)]
        write_steps(tmp_path, [3], resume_step=2)
        assert [r["step"] for r in read_metrics(path)] == [*steps, 3]


def test_a_killed_writer_loses_no_line_it_finished(tmp_path):
    program = (
        "import sys; from pathlib import Path\n"
        "from amber_jax.training.metrics import MetricsLog\n"
        "log = MetricsLog(Path(sys.argv[1]), resume_step=0)\n"
        "for step in range(1, 10**9):\n"
        "    log.write({'step': step}); print(step, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    for _ in range(50):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    finished = 50 + len(process.stdout.read().split())
    process.wait()
    steps = [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= finished - 1


def test_damage_inside_the_file_names_file_and_line(tmp_path):
    path = write_steps(tmp_path, [1, 2, 3])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:-4], lines[2]]) + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2"):
        read_metrics(path)


@pytest.mark.parametrize("line", ["[1]", '{"loss": 1}', '{"step": "3"}', "\x00\x00"])
def test_a_line_that_is_no_record_is_refused(tmp_path, line):
    path = write_steps(tmp_path, [1])
    path.write_text(line + "\n" + path.read_text())
    with pytest.raises(UserError, match="line 1"):
        read_metrics(path)


def test_a_missing_file_is_told_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match="workdir"):
        read_metrics(tmp_path / "metrics.jsonl")


def test_a_full_disk_ends_with_a_sentence_and_loses_only_the_last_line(tmp_path):
    log = MetricsLog(tmp_path, resume_step=0)
    log.write(train_record(1))
    size = (tmp_path / "metrics.jsonl").stat().st_size
    with full_disk(size + 10), pytest.raises(UserError, match="make room"):
        log.write(train_record(2))
    log.close()
    path = write_steps(tmp_path, [2], resume_step=1)
    assert [record["step"] for record in read_metrics(path)] == [1, 2]


def test_a_disk_too_full_to_resume_leaves_the_old_log(tmp_path):
    path = write_steps(tmp_path, [1, 2, 3])
    before = path.read_bytes()
    with full_disk(10), pytest.raises(UserError, match="make room"):
        MetricsLog(tmp_path, resume_step=2)
    assert path.read_bytes() == before


def read_events(directory):
    """Returns the events as TensorFlow itself reads them, in TensorBoard's order."""
    import tensorflow

    paths = sorted(map(str, (directory / "tensorboard").iterdir()))
    iterator = tensorflow.compat.v1.train.summary_iterator
    return [event for path in paths for event in iterator(path)]


def test_tensorflow_reads_the_event_files(tmp_path):
    writer = TensorBoardWriter(tmp_path, resume_step=0)
    writer.write({**train_record(300, loss=0.25), "tokens": 12_345})
    writer.write({"kind": "eval", "step": 301, "stage": "mono", "evaluation": "tico",
                  "fr/fr_to_en": 0.5, "average": math.nan})  # fmt: skip
    writer.close()
    resumed = TensorBoardWriter(tmp_path, resume_step=300)
    resumed.write(train_record(301, loss=0.125))
    resumed.close()

    events = read_events(tmp_path)
    scalars = [
        (event.step, value.tag, value.simple_value)
        for event in events
        for value in event.summary.value
    ]
    assert scalars[:3] == [
        (300, "train/loss", 0.25),
        (300, "train/tokens", 12345.0),
        (301, "tico/fr/fr_to_en", 0.5),
    ]
    assert scalars[3][:2] == (301, "tico/average") and math.isnan(scalars[3][2])
    assert scalars[4] == (301, "train/loss", 0.125)
    assert [e.file_version for e in events if e.file_version] == ["brain.Event:2"] * 2
    restarts = [e.step for e in events if e.session_log.status == e.session_log.START]
    assert restarts == [1, 301]
    assert all(abs(event.wall_time - time.time()) < 600 for event in events)


def test_writing_metrics_imports_neither_tensorflow_nor_jax():
    program = (
        "import sys, amber_jax.training.metrics\n"
        "sys.exit('tensorflow' in sys.modules or 'jax' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_every_line_is_strict_json(tmp_path):
    path = write_steps(tmp_path, [1])

    def refuse(constant):
        raise AssertionError(constant)

    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=refuse)
