"""A user's mistake costs one sentence, and exit status 2."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from amber_jax.__main__ import VERBS

ROOT = Path(__file__).parents[2]


def command(name, *arguments):
    return subprocess.run(
        [sys.executable, f"launch/{name}.py", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )


def assert_one_sentence(done, *words):
    """Asserts that one sentence with these words came, and nothing else went wrong."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert str(word) in lines[0]


MAIN = """
import pathlib
from absl import flags
from amber_jax.commands.command_line import run
from amber_jax.commands.config_flag import define_config
from amber_jax.errors import UserError

config = define_config("a test")
flags.mark_flags_as_required(["config"])
mistake = flags.DEFINE_string("mistake", "", "what to raise")
flags.DEFINE_string("workdir", None, "needed", required=True)

def main(argv):
    if mistake.value == "bug":
        raise RuntimeError("a bug")
    if mistake.value:
        raise UserError(mistake.value)
    print("seed", config.value.seed, "steps", config.value.stages[1].num_steps)

run(main)
"""
CONFIG = """
from ml_collections import ConfigDict

def get_config():
    stages = [ConfigDict({"num_steps": 5}), ConfigDict({"num_steps": 6})]
    return ConfigDict({"seed": 0, "model": {"num_layers": 2}, "stages": stages}).lock()
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A function: runs a command that takes a moment, because it needs no JAX."""
    folder = tmp_path_factory.mktemp("command")
    (folder / "main.py").write_text(MAIN)
    (folder / "config.py").write_text(CONFIG)

    def run(*arguments, given=("--config=config.py", "--workdir=x")):
        return subprocess.run(
            [sys.executable, "main.py", *given, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    return run


def test_settings_are_flags(small):
    done = small("--config.seed=7", "--config.stages[1].num_steps=9")
    assert (done.returncode, done.stdout, done.stderr) == (0, "seed 7 steps 9\n", "")


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--config.sede=1", """'sede' Did you mean "seed" instead of "sede"?"""),
        ("--config.model.num_layer=1", 'Did you mean "num_layers"'),
        ("--config.stages[0].num_step=1", 'Did you mean "num_steps"'),
        ("--config.stages[2].num_steps=1", "in --config.stages[2].num_steps=1, where"),
        ("--config.stages[3]", "in --config.stages[3], where the first is [0]"),
        ("--config.seed=many", "invalid literal for int() with base 10: 'many'"),
        ("--config.model=3", "Failed to parse '3'"),
        ("--misteak=x", "Unknown command line flag 'misteak'. Did you mean: mistake"),
        (
            "--config.sentence_alignment.normalise=True",
            "normalise is called sentence_alignment.normalize now",
        ),
        ("--symmetrisation=x", "--symmetrisation is called --symmetrization now"),
        ("seed=1", "unexpected argument 'seed=1'; every setting is a flag"),
        ("--config=none.py", "--config is 'none.py'"),
        ("--mistake=mine", "mine"),
    ],
)
def test_each_mistake_in_the_flags_is_one_sentence(small, argument, sentence):
    done = small(argument)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr


def test_help_is_no_fault(small):
    done = small("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--config" in done.stdout


def test_settings_of_a_config_that_is_missing_are_one_sentence(small):
    done = small(given=("--config=none.py", "--config.seed=3", "--workdir=x"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --config is ")
    assert "none.py" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("missing", ["config", "workdir"])
def test_a_missing_flag_is_one_sentence(small, missing):
    given = {"config": "--config=config.py", "workdir": "--workdir=x"}
    del given[missing]
    done = small(given=given.values())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: flags not understood: flag --{missing}")
    assert done.stderr.count("\n") == 1


def test_a_bug_of_ours_is_no_mistake_of_the_users(small):
    done = small("--mistake=bug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


ENDS = """
import gc, os, pathlib, signal, sys, time
from absl import flags
from amber_jax.commands.command_line import run
from amber_jax.data.pipeline import import_ahead
from amber_jax.errors import UserError
from amber_jax.commands.line_files import appearing

how = flags.DEFINE_string("how", "", "to end")

def collected(phase, info):  # what is raised here is dropped, as in JAX's callback
    if phase == "start":
        print("waiting", flush=True)
        time.sleep(0.5)

heard = []

def handed_over(phase, info):  # to another listener and back, as by training
    if phase == "start" and not heard:
        print("waiting", flush=True)
        time.sleep(0.5)
        ours = {
            number: signal.signal(number, lambda number, _: heard.append(number))
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        while not heard:
            time.sleep(0.01)
        time.sleep(0.1)
        for number, listener in ours.items():
            signal.signal(number, listener)
        os.kill(os.getpid(), heard[0])
        time.sleep(0.1)

def main(argv):
    if how.value == "pipe":
        for _ in range(100_000):
            print("a line that nobody reads")
    with appearing("out") as file:
        file.write(b"half")
        import_ahead()
        while not pathlib.Path("importing").exists():
            time.sleep(0.01)
        if how.value == "mistake":
            raise UserError("mine")
        if how.value == "bug":
            raise RuntimeError("a bug")
        if how.value == "signal":
            print("waiting", flush=True)
            import tensorflow
        if how.value == "lost":  # the first that is sent again
            send, lost = signal.pthread_kill, iter([True])
            signal.pthread_kill = lambda *to: next(lost, False) or send(*to)
        if how.value in ("collection", "lost"):
            gc.callbacks.append(collected)
            gc.collect()
            time.sleep(60)
        if how.value == "handed over":
            gc.callbacks.append(handed_over)
            gc.collect()
            time.sleep(60)

run(main)
"""
# Compiled frames call Python: the interpreter's end has to unwind or wait for them.
SLOW_IMPORT = """
import pathlib, time
import jax

def trace(x):
    pathlib.Path("importing").touch()
    for _ in range(100):
        time.sleep(0.01)
    return x

jax.jit(trace)(1.0)
"""


@pytest.fixture
def ending(tmp_path):
    """A function: starts a command that ends while it imports TensorFlow ahead."""
    (tmp_path / "main.py").write_text(ENDS)
    (tmp_path / "tensorflow.py").write_text(SLOW_IMPORT)

    def start(how):
        return subprocess.Popen(
            [sys.executable, "main.py", f"--how={how}"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    yield start
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize(
    ("how", "status", "errors"),
    [("done", 0, ""), ("mistake", 2, "error: mine\n"), ("bug", 1, None)],
)
def test_an_import_under_way_changes_no_exit_status(ending, how, status, errors):
    process = ending(how)
    _, stderr = process.communicate()
    assert process.returncode == status, stderr
    assert stderr == errors or errors is None
    assert ("Traceback" in stderr) == (how == "bug")


@pytest.mark.parametrize("how", ["signal", "collection", "lost", "handed over"])
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_ends_a_command_with_one_line_and_nothing_partial(
    ending, how, number, status
):
    process = ending(how)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(number)
    _, stderr = process.communicate(timeout=40)  # s; the command would wait for 60
    assert (process.returncode, stderr) == (status, f"stopped by {number.name}\n")


def test_a_reader_of_the_output_who_leaves_is_one_sentence(ending):
    process = ending("pipe")
    assert process.stdout.readline() == "a line that nobody reads\n"
    process.stdout.close()
    stderr = process.stderr.read()
    assert process.wait() == 141, stderr
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1


PLACE = """
from amber_jax.commands.command_line import run

def main(argv):
    import jax

    print(jax.config.jax_compilation_cache_dir)
    print(jax.jit(lambda x: x * 3)(2))

run(main, on_devices=True)
"""


@pytest.fixture
def compile_cache(tmp_path):
    """A function: the compile cache that a command uses, and how it ended."""
    (tmp_path / "main.py").write_text(PLACE)

    def run(**environment):
        given = {k: v for k, v in os.environ.items() if "CACHE" not in k}
        done = subprocess.run(
            [sys.executable, "main.py"],
            cwd=tmp_path,
            env={
                **given,
                "PYTHONPATH": str(ROOT),
                "HOME": str(tmp_path),
                **environment,
            },
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        place, result = done.stdout.splitlines()
        assert result == "6"
        return place

    return run


def test_compiled_programs_are_kept_in_the_users_cache(compile_cache, tmp_path):
    assert compile_cache() == str(tmp_path / ".cache" / "amber_jax" / "xla")
    other = tmp_path / "other"
    assert compile_cache(XDG_CACHE_HOME=str(other)) == str(other / "amber_jax/xla")
    assert list((other / "amber_jax/xla").iterdir())


def test_a_user_who_chose_a_cache_for_jax_has_chosen(compile_cache, tmp_path):
    mine = str(tmp_path / "mine")
    assert compile_cache(JAX_COMPILATION_CACHE_DIR=mine) == mine
    assert compile_cache(JAX_COMPILATION_CACHE_DIR="") == ""
    assert not (tmp_path / ".cache").exists()


def test_a_cache_that_cannot_be_written_is_done_without(compile_cache, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert compile_cache(XDG_CACHE_HOME=str(tmp_path / "file")) == "None"


@pytest.mark.parametrize("verb", VERBS)
def test_no_command_imports_jax_before_it_has_a_compile_cache(verb):
    script = (
        f"import sys, amber_jax.verbs.{verb}; "
        "assert not {'jax', 'numpy'} & sys.modules.keys()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, check=True
    )


def pretrain(*arguments):
    return command("pretrain", "--config=tests/tiny_run.py", *arguments)


def test_a_wrong_key_is_told_with_a_suggestion(tmp_path):
    done = pretrain("--config.sede=1", f"--workdir={tmp_path / 'run'}")
    assert_one_sentence(done, "seed")
    assert not (tmp_path / "run").exists()


def test_a_profile_of_no_steps_is_told(tmp_path):
    done = pretrain("--profile=15:10", f"--workdir={tmp_path / 'run'}")
    assert_one_sentence(done, "--profile is '15:10'", "FIRST:LAST", "--profile=10:15")
    assert not (tmp_path / "run").exists()


def test_a_missing_corpus_is_told(tmp_path):
    done = pretrain(f"--config.corpus={tmp_path / 'none'}", f"--workdir={tmp_path}")
    assert_one_sentence(done, tmp_path / "none", "amber build_corpus")


def test_a_corpus_that_is_a_file_is_told(tmp_path):
    (tmp_path / "corpus").write_text("text")
    done = pretrain(f"--config.corpus={tmp_path / 'corpus'}", f"--workdir={tmp_path}")
    assert_one_sentence(done, tmp_path / "corpus", "amber build_corpus")


def test_a_config_of_another_command_is_told(tmp_path):
    done = command(
        *("train_tokenizer", "--config=configs/udpos.py"),
        f"--output={tmp_path / 'out'}",
    )
    assert_one_sentence(done, "--config is of another command", "byte_fallback")


def test_a_truncated_shard_is_told(corpus, tmp_path):
    broken = tmp_path / "corpus"
    shutil.copytree(corpus, broken)
    shard = next((broken / "shards").rglob("*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-5])
    done = pretrain(f"--config.corpus={broken}", f"--workdir={tmp_path / 'run'}")
    assert_one_sentence(done, shard.name, "bytes")


def test_a_checkpoint_that_is_none_is_told(tmp_path):
    done = command(
        "evaluate",
        "--config=configs/tatoeba.py",
        f"--checkpoint={tmp_path}",
        f"--output={tmp_path / 'out'}",
    )
    assert_one_sentence(done, tmp_path, "checkpoint")
