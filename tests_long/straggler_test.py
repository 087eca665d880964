"""Of two real processes, the one with slow input is named."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import tiny_run

from amber_jax.training.metrics import read_metrics

ROOT = Path(__file__).parents[1]
# The command, in which process 1 waits for every batch.
SLOW = """
import time
from amber_jax.commands import command_line
from amber_jax.pretraining import run
from amber_jax.verbs import pretrain

batches = run.batches

def slow(plan, **limits):
    for batch in batches(plan, **limits):
        if plan.process_index == 1:
            time.sleep(0.5)
        yield batch

run.batches = slow
command_line.run(pretrain.main, on_devices=True)
"""


def test_the_process_with_slow_input_is_named(tmp_path):
    corpus = tiny_run.write_corpus(tmp_path / "corpus")
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NPROC": "16",  # fewer threads can starve a collective
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    members = [
        subprocess.Popen(
            [
                *(sys.executable, "-c", SLOW, "--config=tests/tiny_run.py:tlm"),
                *(f"--config.corpus={corpus}", "--config.backend=jit"),
                *("--config.stages[0].num_steps=9", "--config.log_every=3"),
                *("--config.save_every=0", f"--workdir={tmp_path / 'run'}"),
                f"--distributed=127.0.0.1:{port},2,{index}",
            ],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    try:
        for member in members:
            output, _ = member.communicate(timeout=400)
            assert member.returncode == 0, output
    finally:
        for member in members:  # whatever failed, none goes on
            member.kill()
            member.communicate()
    log = read_metrics(tmp_path / "run" / "metrics.jsonl")
    timed = [record for record in log if "slowest_process" in record]
    assert [record["step"] for record in timed] == [3, 6, 9, 12]
    assert {record["slowest_process"] for record in timed} == {1}
    assert all(record["slowest_data_wait_share"] > 0.5 for record in timed)
    (event,) = (record for record in log if record["kind"] == "event")
    assert (event["event"], event["straggler"]) == ("straggler", 1)
    assert event["text"].startswith("process 1 keeps the others waiting: it waits ")
