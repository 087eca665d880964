"""Hours of training, stopped and killed at random: is the log whole, is memory flat?

python -m benchmarks.endurance --folder=DIR [--hours=2] [--restarts=12] [--seed=0]
    [--save_every=20]

An encoder with all losses trains on the sample text and gets SIGTERM or SIGKILL, again
and again. What every start did stands in DIR/starts.jsonl: started again, this program
goes on behind it. It ends with 2 if a step is missing or memory has grown.
"""

import contextlib
import itertools
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from amber_jax import stopping
from amber_jax.commands import command_line
from amber_jax.errors import UserError
from amber_jax.training.checkpoint import CHECKPOINTS
from amber_jax.training.metrics import METRICS_FILE, read_metrics
from benchmarks import interrupted, tables

_ENDLESS = 1_000_000  # steps
_LATER_SECONDS = 600.0  # for the checkpoint of a step that is under way
# A process that was asked to stop before it listened has nothing to save.
_STOPPED = (stopping.START_AGAIN, 128 + signal.SIGTERM)
_MEASURES = {  # of a start: the record's number, and its unit
    "memory, GB": ("peak_resident_bytes", 1e9),
    "descriptors": ("open_descriptors", 1),
}
_FLAT = 1.05


def _command(workdir: Path, corpus: Path) -> list[str]:
    width, interval = flags.FLAGS.width, flags.FLAGS.save_every
    sizes = {
        "num_layers": flags.FLAGS.layers,
        "hidden_size": width,
        "num_heads": max(1, width // 64),
        "intermediate_size": 4 * width,
        "hidden_dropout": 0.1,
    }
    return [
        *(sys.executable, "launch/pretrain.py", "--config=configs/amber_tiny.py:sa"),
        *(f"--config.model.{name}={value}" for name, value in sizes.items()),
        *(f"--config.stages[0].num_steps={_ENDLESS}", "--config.keep_checkpoints=2"),
        *(
            f"--config.stages[0].{kind}_pairs=8"
            for kind in ("monolingual", "translation")
        ),
        *("--config.log_every=1", f"--config.corpus={corpus}"),
        *(f"--config.{kind}_every={interval}" for kind in ("save", "evaluate")),
        *("--config.tensorboard=False", f"--workdir={workdir}"),
    ]


def _start(workdir: Path, corpus: Path, seconds: float, number: int) -> dict[str, Any]:
    """Trains for so many seconds, then sends a signal; returns what the start did."""
    saved = [
        int(p.name) for p in workdir.glob(f"{CHECKPOINTS}/*") if p.name.isdecimal()
    ]
    before = max(saved, default=0)
    environment = {**os.environ, "PYTHONPATH": str(interrupted.ROOT)}
    with (workdir.parent / "output.txt").open("ab") as output:
        process = subprocess.Popen(
            _command(workdir, corpus),
            cwd=interrupted.ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
        _train(process, workdir, before, seconds)
        if process.poll() is None:
            process.send_signal(number)
        status = process.wait(_LATER_SECONDS)
    if status not in (_STOPPED if number == signal.SIGTERM else (-number,)):
        raise UserError(f"{output.name}: training ended with {status}")
    return {
        "signal": signal.Signals(number).name,
        "seconds": seconds,
        "from step": before,
        **measured(_trained(workdir, before), before, flags.FLAGS.save_every),
    }


def _train(
    process: subprocess.Popen, workdir: Path, before: int, seconds: float
) -> None:
    """Waits for so many seconds from the first record on; for an end, if it comes."""
    # What a killed start wrote behind its checkpoint is cut, into another file.
    stale = _file_number(workdir / METRICS_FILE)
    while process.poll() is None and (
        _file_number(workdir / METRICS_FILE) == stale or not _trained(workdir, before)
    ):
        time.sleep(0.5)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _file_number(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _trained(workdir: Path, before: int) -> list[dict[str, Any]]:
    """The train records after a step."""
    path = workdir / METRICS_FILE
    return [
        record
        for record in (read_metrics(path) if path.exists() else [])
        if record["kind"] == "train" and record["step"] > before
    ]


def measured(
    records: Sequence[Mapping[str, Any]], before: int, interval: int
) -> dict[str, Any]:
    """Returns what a start's train records after step `before` say of its process.

    Saving and evaluating take memory anew until each has happened twice, every
    `interval` steps: for compiled programs, threads and buffers. From then on, growth
    is the least of the later half in units of the least of the earlier, since a save
    under way takes some for a while; 1 where a half has no whole interval.
    """
    settled = [r for r in records if r["step"] > before + 2 * interval]
    measures: dict[str, Any] = {
        "to step": max((r["step"] for r in records), default=before)
    }
    for name, (key, unit) in _MEASURES.items():
        values = [record[key] / unit for record in settled or records if key in record]
        measures[name] = statistics.median(values) if values else 0.0
        half = len(values) // 2
        is_known = settled and half >= interval
        measures[f"{name} grows"] = (
            min(values[half:]) / min(values[:half]) if is_known else 1.0
        )
    return measures


def missing(records: Sequence[Mapping[str, Any]]) -> list[int]:
    """Returns the steps whose train record is not there, or not in its place."""
    steps = [record["step"] for record in records if record["kind"] == "train"]
    wanted = range(1, max(steps, default=0) + 1)
    misplaced = [step for last, step in itertools.pairwise(steps) if step <= last]
    return sorted({*misplaced, *(set(wanted) - set(steps))})


def main(_: list[str]) -> None:
    folder = Path(flags.FLAGS.folder).resolve()
    corpus = interrupted.sample_corpus(folder)
    log, workdir = folder / "starts.jsonl", folder / "run"
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    starts = [json.loads(line) for line in lines]
    drawn = random.Random(flags.FLAGS.seed)
    usual = 3600 * flags.FLAGS.hours / (flags.FLAGS.restarts + 1)
    for number in itertools.count():
        seconds = usual * drawn.uniform(0.2, 1.8)
        chosen = (signal.SIGKILL, signal.SIGTERM)[number % 2]
        if number < len(starts):
            continue
        left = 3600 * flags.FLAGS.hours - sum(start["seconds"] for start in starts)
        if left <= 0:
            break
        started = time.strftime("%H:%M:%S")
        starts.append(_start(workdir, corpus, min(seconds, left), chosen))
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(starts[-1]) + "\n")
        print(f"{started} start {number + 1}: {starts[-1]}", flush=True)
    tables.show({"Starts": starts}, None)
    absent = missing(read_metrics(workdir / METRICS_FILE))
    grown = {
        f"{name} of start {number}": start[f"{name} grows"]
        for number, start in enumerate(starts, start=1)
        for name in _MEASURES
        if start[f"{name} grows"] > _FLAT
    }
    last = starts[-1]["to step"]
    print(f"\n{len(starts)} starts, {last} steps; not in the log: {absent or 'none'}")
    if absent or grown:
        raise UserError(f"{folder}: steps {absent} are missing, {grown} grow")


if __name__ == "__main__":
    flags.DEFINE_string("folder", None, "for everything", required=True)
    flags.DEFINE_float("hours", 2.0, "of steps, all starts together")
    flags.DEFINE_integer("restarts", 12, "how many, about", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "of the moments")
    flags.DEFINE_integer("save_every", 20, "steps; evaluated as often", lower_bound=1)
    flags.DEFINE_integer("layers", 12, "of the encoder")
    flags.DEFINE_integer("width", 384, "of the encoder, in heads of 64 or fewer")
    command_line.run(main)
