"""Two real processes train as one does: same batches, same masks, same numbers."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_run

from amber_jax.training.checkpoint import find_checkpoint
from amber_jax.training.metrics import read_metrics

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "NPROC": "16"}  # fewer threads can starve a collective

MEMBER = """
from absl import flags
from amber_jax.commands.command_line import run

def main(_):
    import sys
    import numpy as np
    from amber_jax.training.peers import joined

    with joined(sys.argv[1].removeprefix("--who=")):
        from jax.experimental.multihost_utils import process_allgather

        process_allgather(np.zeros(1))
        print("joined", flush=True)
        while True:
            process_allgather(np.zeros(1))

flags.DEFINE_string("who", None, "HOST:PORT,COUNT,INDEX")
run(main)
"""


def start(corpus, workdir, devices, *arguments):
    flags = (
        f"--xla_force_host_platform_device_count={devices} "
        "--xla_backend_optimization_level=0"  # all of the time here is compiling
    )
    return subprocess.Popen(
        [
            *(sys.executable, "launch/pretrain.py", "--config=tests/tiny_run.py:sa"),
            *(f"--config.corpus={corpus}", "--config.backend=jit"),
            *(f"--workdir={workdir}", *arguments),
        ],
        cwd=ROOT,
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def test_two_processes_of_two_devices_equal_one_of_four(tmp_path):
    corpus = tiny_run.write_corpus(tmp_path / "corpus")
    address = f"127.0.0.1:{free_port()}"
    joined = [
        start(
            *(corpus, tmp_path / "two", 2),
            *("--config.fsdp=True", f"--distributed={address},2,{index}"),
        )
        for index in range(2)
    ]
    alone = start(corpus, tmp_path / "one", 4)
    for process in (*joined, alone):
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output

    names = ("loss", "mlm", "tlm", "sentence_alignment", "word_alignment", "grad_norm")
    one, two = (
        [
            [record[name] for name in names if name in record]
            for record in read_metrics(tmp_path / folder / "metrics.jsonl")
            if record["kind"] == "train"
        ]
        for folder in ("one", "two")
    )
    assert len(one) == len(two) == 6
    for expected, found in zip(one, two, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert find_checkpoint(tmp_path / "two").step == 6


@pytest.mark.parametrize("victim", [0, 1])
def test_when_a_process_dies_the_other_says_so_in_one_line(tmp_path, victim):
    (tmp_path / "member.py").write_text(MEMBER)
    address = f"127.0.0.1:{free_port()}"
    members = [
        subprocess.Popen(
            [sys.executable, "member.py", f"--who={address},2,{index}"],
            cwd=tmp_path,
            env={**ENVIRONMENT, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        for member in members:
            assert "joined\n" in iter(member.stdout.readline, "")
        members[victim].kill()
        _, stderr = members[1 - victim].communicate(timeout=60)
    finally:
        for member in members:  # whatever failed, none goes on
            member.kill()
            member.communicate()
    # Gloo, which carries the collectives, may tell of its own attempts to connect.
    lines = [line for line in stderr.splitlines() if "gloo" not in line.lower()]
    assert members[1 - victim].returncode == 75, stderr
    assert len(lines) == 1, stderr
    assert "another process of this run has ended" in lines[0]
