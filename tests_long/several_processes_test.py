"""Several real processes: they train as one does, and none outlives another.

Two and four of them on the loopback address, with two emulated devices each.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import object_store as storage_server
import pytest
import tiny_run

from amber_jax import storage
from amber_jax.evaluation.results import read_results
from amber_jax.training.checkpoint import (
    abstract_params,
    find_checkpoint,
    restore_params,
)
from amber_jax.training.metrics import read_metrics

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {
    **os.environ,
    "NPROC": "16",  # fewer threads can starve a collective
    "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests"))),
    "JAX_PLATFORMS": "cpu",
}
START_AGAIN = 75
END = 10  # steps

CONFIG = """
import tiny_run

def get_config():
    config = tiny_run.get_config()
    config.stages = config.stages[1:]
    config.stages[0].num_steps = {end}
    with config.unlocked():
        config.evaluations = (tiny_run.retrieval({table!r}),)
    config.evaluate_every = 4
    config.corpus = {corpus!r}
    return config
"""

MEMBER = """
from absl import flags
from amber_jax.commands.command_line import run

def main(_):
    import numpy as np
    from amber_jax.training import peers
    from amber_jax.training.watchdog import Watchdog

    bounds = [int(bound) for bound in flags.FLAGS.bounds]
    peers._JOIN_SECONDS, peers._TELL_SECONDS, peers._SILENCE_SECONDS, hang = bounds
    with peers.joined(flags.FLAGS.who):
        from jax.experimental.multihost_utils import process_allgather

        process_allgather(np.zeros(1))
        print("joined", flush=True)
        watchdog = Watchdog(hang, 0)
        with watchdog.watched():
            for step in range(1 << 30):
                process_allgather(np.zeros(1))
                watchdog.finish_step(step)

flags.DEFINE_string("who", None, "as --distributed")
flags.DEFINE_list("bounds", ["60", "20", "60", "0"], "seconds")
run(main)
"""

REFUSED = """
import time

from absl import flags
from amber_jax.commands.command_line import run

def refuse():
    from amber_jax.errors import UserError

    raise UserError("there is none; make one")

def main(_):
    from amber_jax.training import peers
    from amber_jax.training.agreement import decided_by_first, is_first

    with peers.joined(flags.FLAGS.who):
        print("joined", flush=True)
        if not is_first():
            time.sleep(float(flags.FLAGS.bounds[0]))
        decided_by_first(refuse)

flags.DEFINE_string("who", None, "as --distributed")
flags.DEFINE_list("bounds", None, "seconds that the others are late")
run(main)
"""


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


@contextlib.contextmanager
def running(count, devices, command, environment=lambda _: {}):
    """Gives `count` processes of one run, of which none goes on after the block."""
    address = f"127.0.0.1:{free_port()}"
    flags = (
        f"--xla_force_host_platform_device_count={devices} "
        "--xla_backend_optimization_level=0"  # all of the time here is compiling
    )
    together = [[f"--distributed={address},{count},{index}"] for index in range(count)]
    processes = [
        subprocess.Popen(
            [sys.executable, *command, *(together[index] if count > 1 else [])],
            cwd=ROOT,
            env={**ENVIRONMENT, "XLA_FLAGS": flags, **environment(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    try:
        yield [*processes]  # a test may take some out; all end with it
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def ended(processes):
    """Returns [(status, output, lines of stderr)] of processes that end by themselves.

    Gloo, which carries the collectives, may tell of its own attempts to connect.
    """
    outputs = [process.communicate(timeout=300) for process in processes]
    return [
        (
            process.returncode,
            output,
            [line for line in errors.splitlines() if "gloo" not in line.lower()],
        )
        for process, (output, errors) in zip(processes, outputs, strict=True)
    ]


def run_to_the_end(count, devices, command):
    with running(count, devices, command) as processes:
        for status, output, errors in ended(processes):
            assert status == 0, (output, errors)


def wait_for(text, process):
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return
    raise AssertionError("".join(seen) + process.stderr.read())


def pretraining(config, workdir, *arguments):
    flags = (f"--config={config}", f"--workdir={workdir}", *arguments)
    return ["launch/pretrain.py", *flags]


FSDP = ("--config.backend=jit", "--config.fsdp=True")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    corpus = tiny_run.write_corpus(folder / "corpus")
    table = folder / "pairs.tsv"
    pairs = [f"{n} 1 {n + 3}\t{n} 2\n" for n in range(20)]
    table.write_text("en\tfr\n" + "".join(pairs))
    path = folder / "config.py"
    path.write_text(CONFIG.format(end=END, corpus=str(corpus), table=str(table)))
    return path


@pytest.fixture(scope="module")
def alone(config, tmp_path_factory):
    """The workdir of a run of one process with one device that nobody disturbed."""
    workdir = tmp_path_factory.mktemp("alone")
    run_to_the_end(1, 1, pretraining(config, workdir, "--config.backend=jit"))
    return workdir


@pytest.fixture(scope="module")
def together(config, tmp_path_factory):
    """That of two processes with two devices each, the state divided."""
    workdir = tmp_path_factory.mktemp("together")
    run_to_the_end(2, 2, pretraining(config, workdir, *FSDP))
    return workdir


@pytest.fixture(scope="module")
def killed(config, tmp_path_factory):
    """That of two such processes of which the first was killed."""
    workdir = tmp_path_factory.mktemp("killed")
    with running(2, 2, pretraining(config, workdir, *FSDP)) as (first, second):
        wait_for(f" 3/{END} ", first)
        first.kill()
        ((status, _, errors),) = ended([second])
    assert status == START_AGAIN, errors
    assert ["process 0 of this run has ended" in line for line in errors] == [True]
    assert find_checkpoint(workdir).step < END
    return workdir


def numbers(workdir):
    """The losses and scores of every step, in order."""
    names = ("loss", "tlm", "sentence_alignment", "word_alignment", "grad_norm")
    return [
        (
            record["step"],
            *(record[name] for name in (*names, "average") if name in record),
        )
        for record in read_metrics(workdir / "metrics.jsonl")
    ]


def assert_close(steps, wanted):
    assert [len(step) for step in steps] == [len(step) for step in wanted]
    for step, other in zip(steps, wanted, strict=True):
        np.testing.assert_allclose(step, other, rtol=1e-5)


def arrays(workdir):
    """The parameters of the last checkpoint."""
    checkpoint = find_checkpoint(workdir)
    assert checkpoint.step == END
    return jax.tree.map(
        np.asarray, restore_params(checkpoint, abstract_params(checkpoint))
    )


def test_two_processes_of_two_devices_train_as_one_of_one(together, alone):
    assert [step[0] for step in numbers(alone) if len(step) > 2] == [*range(1, END + 1)]
    assert_close(numbers(together), numbers(alone))


def test_after_a_kill_they_end_bit_for_bit_where_they_would_have(
    config, killed, together, tmp_path
):
    workdir = shutil.copytree(killed, tmp_path / "again")
    run_to_the_end(2, 2, pretraining(config, workdir, *FSDP))
    assert numbers(workdir) == numbers(together)
    np.testing.assert_equal(arrays(workdir), arrays(together))


def test_other_numbers_of_processes_and_devices_go_on_with_the_same_numbers(
    config, killed, alone, tmp_path
):
    """2 x 2 was killed; then 1 x 8 and 4 x 2, asked to stop, and 1 x 1 to the end."""
    workdir = shutil.copytree(killed, tmp_path / "elastic")
    for count, devices, backend in ((1, 8, "pmap"), (4, 2, "pmap"), (1, 1, "jit")):
        command = pretraining(config, workdir, f"--config.backend={backend}")
        before = find_checkpoint(workdir).step
        with running(count, devices, command) as processes:
            if devices > 1:
                wait_for(f" {before + 1}/{END} ", processes[0])
                processes[-1].send_signal(signal.SIGTERM)
            for status, output, errors in ended(processes):
                wanted = START_AGAIN if devices > 1 else 0
                assert (status, errors) == (wanted, []), output
        assert find_checkpoint(workdir).step > before
    assert_close(numbers(workdir), numbers(alone))


def test_on_object_storage_a_kill_costs_no_more(
    config, together, tmp_path, monkeypatch
):
    monkeypatch.setenv("AMBER_CACHE", str(tmp_path / "cache"))
    with (
        storage_server.serving() as server,
        storage_server.bucket(server, time.monotonic_ns()) as store,
    ):
        workdir = storage.location(store.path("run"))

        def environment(index):
            return {**store.environment, "AMBER_CACHE": str(tmp_path / f"{index}")}

        command = pretraining(config, workdir, *FSDP)
        with running(2, 2, command, environment) as (first, second):
            wait_for(f" 6/{END} ", first)
            first.kill()
            ((status, _, errors),) = ended([second])
            assert status == START_AGAIN, errors
        assert 0 < find_checkpoint(workdir).step < END
        with running(2, 2, command, environment) as processes:
            for status, output, errors in ended(processes):
                assert status == 0, (output, errors)
        assert numbers(workdir) == numbers(together)
        np.testing.assert_equal(arrays(workdir), arrays(together))


def test_what_the_first_finds_wrong_ends_all_with_one_sentence(config, tmp_path):
    (tmp_path / "checkpoints" / "5").mkdir(parents=True)
    with running(2, 2, pretraining(config, tmp_path, *FSDP)) as processes:
        for status, output, errors in ended(processes):
            assert status == 2, (output, errors)
            assert len(errors) == 1
            assert "none of its checkpoints can be used" in errors[0]


@pytest.mark.parametrize(
    ("late", "how"),
    [
        # At once, they race to their ends; so this is tried several times.
        *((0, None), (0, None), (0, None), (0, None)),
        # Later than others are waited for when a process has died.
        *((6, None), (6, signal.SIGKILL), (6, signal.SIGTERM)),
    ],
)
def test_an_error_of_the_first_is_that_of_all_who_come_to_it(late, how, tmp_path):
    with members(tmp_path, 3, program=REFUSED, bounds=(late,)) as processes:
        if how is not None:
            for process in processes[:2]:
                wait_for("joined", process)
            time.sleep(1)  # the first knows by now that it will end
            processes.pop(1).send_signal(how)
        for status, _, errors in ended(processes):
            assert (status, errors) == (2, ["error: there is none; make one"])


@pytest.mark.parametrize("backend", ["pmap", "jit"])
def test_fine_tuning_and_retrieval_score_as_one_process_does(
    backend, alone, config, tmp_path
):
    labels = ("entailment", "neutral", "contradiction")
    for seed, split in enumerate(("train-en", "dev-en", "test-en", "test-fr")):
        drawn = np.random.default_rng(seed).integers(0, 3, 32 if seed == 0 else 13)
        lines = [f"{n} {n} {n}\t{n + 7}\t{labels[n]}\n" for n in drawn]
        (tmp_path / f"{split}.tsv").write_text("".join(lines))
    of_tuning = [
        *("launch/finetune.py", "--config=configs/xnli.py", f"--checkpoint={alone}"),
        *(f"--config.data={tmp_path}", "--config.languages=('en','fr')"),
        *("--config.seeds=(1,)", "--config.max_length=16", "--config.batch_size=8"),
        *("--config.num_epochs=1", "--config.evaluate_every=2", "--config.log_every=1"),
        *("--config.peak_learning_rate=0.1", "--config.optimizer.name=sgd"),
        *("--config.dropout=0.0", "--config.row_multiple=4"),
        *("--config.tensorboard=False", f"--config.backend={backend}"),
    ]
    of_retrieval = [
        *("launch/evaluate.py", "--config=configs/tatoeba.py", f"--checkpoint={alone}"),
        f"--config.retrievals[0].path={config.parent / 'pairs.tsv'}",
        *("--config.retrievals[0].max_length=16", "--config.retrievals[0].layer=-1"),
        "--config.retrievals[0].predictions=False",
    ]
    commands = {"tuned": (of_tuning, "workdir")}
    if backend == "jit":
        commands["retrieved"] = (of_retrieval, "output")
    for name, (command, flag) in commands.items():
        results = []
        for count in (1, 2):
            folder = tmp_path / f"{name}{count}"
            run_to_the_end(count, count, [*command, f"--{flag}={folder}"])
            (result,) = read_results(folder / "results.json")
            results.append((result.scores, result.sizes))
        assert results[0] == results[1]
    losses = [
        [
            record["loss"]
            for record in read_metrics(folder / "seed-1" / "metrics.jsonl")
            if "loss" in record
        ]
        for folder in (tmp_path / "tuned1", tmp_path / "tuned2")
    ]
    assert len(losses[0]) == 4
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


@contextlib.contextmanager
def members(
    folder, count, *, program=MEMBER, started=None, who=None, bounds=(60, 20, 60, 0)
):
    (folder / "member.py").write_text(program)
    address = f"127.0.0.1:{free_port()}"
    port = str(free_port())

    def of_slurm(index):
        return {
            **{"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "localhost"},
            **{"SLURM_NTASKS": str(count), "SLURM_PROCID": str(index)},
            **{"SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": f"1(x{count})"},
            "JAX_COORDINATOR_PORT": port,
        }

    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "member.py"),
                f"--who={who or f'{address},{count},{index}'}",
                f"--bounds={','.join(map(str, bounds))}",
            ],
            cwd=folder,
            env={**ENVIRONMENT, **(of_slurm(index) if who else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(started or count)
    ]
    try:
        yield [*processes]  # a test may take some out; all end with it
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("how", "victim", "who", "said"),
    [
        (signal.SIGKILL, 0, None, "process 0 of this run has ended"),
        (signal.SIGKILL, 2, "auto", "process 2 of this run has ended"),
        (
            signal.SIGSTOP,
            1,
            None,
            "process 1 of this run has been silent for 5 seconds",
        ),
        (
            signal.SIGSTOP,
            0,
            None,
            "process 0 of this run has been silent for 5 seconds",
        ),
    ],
)
def test_when_a_process_is_gone_all_others_name_it_in_one_line(
    how, victim, who, said, tmp_path
):
    with members(tmp_path, 3, who=who, bounds=(60, 20, 5, 0)) as processes:
        for process in processes:
            wait_for("joined", process)
        processes.pop(victim).send_signal(how)
        for status, _, errors in ended(processes):
            assert status == START_AGAIN, errors
            assert [said in line for line in errors] == [True], errors


def test_a_step_that_waits_for_a_stopped_process_ends_with_stacks(tmp_path):
    with members(tmp_path, 2, bounds=(60, 20, 60, 3)) as processes:
        for process in processes:
            wait_for("joined", process)
        processes[1].send_signal(signal.SIGSTOP)
        ((status, _, errors),) = ended(processes[:1])
        processes[1].kill()
    assert status == START_AGAIN, errors
    assert "hangs" in errors[-1]
    assert any("in main" in line for line in errors[:-1])


def test_who_waits_says_who_is_missing_and_gives_up(tmp_path):
    with members(tmp_path, 4, started=2, bounds=(8, 2, 60, 0)) as processes:
        first, second = ended(processes)
    assert (first[0], second[0]) == (START_AGAIN, START_AGAIN)
    assert any(line.startswith("waiting for processes 2, 3") for line in first[2])
    assert "2, 3 (of 4, counted from 0)" in first[2][-1]
    assert "waited 8 seconds for process" in second[2][-1]
