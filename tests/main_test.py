"""The command `amber`: its verbs, and what works where TensorFlow does not."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_run

from amber_jax.__main__ import VERBS

ROOT = Path(__file__).parents[1]


def python(*arguments, folder=ROOT, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": "", **environment},
        capture_output=True,
        text=True,
    )


def test_there_is_a_verb_for_each_module_and_for_each_file_of_launch():
    modules = {path.stem for path in (ROOT / "amber_jax" / "verbs").glob("*.py")}
    assert modules - {"__init__"} == set(VERBS)
    # launch/inspect.py would stand in the place of the standard library's module.
    launched = {path.stem for path in (ROOT / "launch").glob("*.py")}
    assert {name.rstrip("_") for name in launched} == set(VERBS)
    assert not launched & sys.stdlib_module_names


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_amber_alone_lists_every_verb_in_a_line(arguments):
    done = python("-m", "amber_jax", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    listed = [line.split(maxsplit=1) for line in done.stdout.splitlines()[2:-2]]
    assert [verb for verb, _ in listed] == list(VERBS)
    for verb, headline in listed:
        module = ROOT / "amber_jax" / "verbs" / f"{verb}.py"
        assert ast.get_docstring(ast.parse(module.read_text())).startswith(headline)


@pytest.mark.parametrize(
    ("verb", "words"),
    [("pretrian", "did you mean pretrain?"), ("x", "wanted train_tokenizer, build")],
)
def test_an_unknown_verb_is_one_sentence_with_a_suggestion(verb, words):
    done = python("-m", "amber_jax", verb, "--checkpoint=x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert repr(verb) in done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("way", [("-m", "amber_jax", "embed"), ("launch/embed.py",)])
def test_a_verbs_help_is_about_its_flags(way):
    done = python(*way, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Writes the vectors of sentences")
    assert "--pooling: mean" in done.stdout
    assert "--margin" not in done.stdout


SCRIPT = """
import os, sys
from amber_jax.__main__ import main

print(os.environ.get("GLIBC_TUNABLES"), flush=True)
sys.exit(main())
"""  # what pip makes of the entry point, and a print


def test_a_program_that_starts_anew_for_its_memory_keeps_its_verb(tmp_path):
    (tmp_path / "amber").write_text(SCRIPT)
    environment = {"JAX_PLATFORMS": "cpu", "GLIBC_TUNABLES": ""}
    done = python(tmp_path / "amber", "embed", "--input=x", **environment)
    assert len(done.stdout.splitlines()) == 2  # it started twice
    assert "glibc.malloc.hugetlb" in done.stdout
    assert done.stderr.startswith("error: flags not understood: flag --checkpoint")


WITHOUT_TENSORFLOW = """
import importlib, json, sys
sys.modules["tensorflow"] = sys.modules["tensorflow_datasets"] = None
from absl import flags
from amber_jax.errors import UserError

failures = []
for verb, *arguments in json.loads(sys.argv[1]):
    module = importlib.import_module(f"amber_jax.verbs.{verb}")
    sys.argv = [verb, *arguments]
    flags.FLAGS(sys.argv)
    try:
        module.main([])
    except UserError as error:
        failures.append(str(error))
    of_verb = [*flags.FLAGS.get_flags_for_module(module.__name__)]
    flags.FLAGS.remove_flag_values({flag.name: flag for flag in of_verb})
print(json.dumps(failures))
"""
RETRIEVAL = """
from pathlib import Path

import tiny_run
from amber_jax import config as settings

def get_config():
    config = settings.evaluation()
    config.retrievals = (tiny_run.retrieval(Path("table.tsv")),)
    return config
"""
PRETRAINING = """
import tiny_run

def get_config():
    config = tiny_run.get_config()
    config.corpus = "corpus"
    return config
"""


@pytest.fixture
def without_tensorflow(tmp_path):
    """A function: runs verbs in one process, returns the sentences of the failures."""
    (tmp_path / "retrieval.py").write_text(RETRIEVAL)
    (tmp_path / "pretraining.py").write_text(PRETRAINING)
    (tmp_path / "table.tsv").write_text("key\ten\tde\nx:1\t1 2\t3 4\nx:2\t5 6\t7\n")

    def run(*commands):
        script = f"import sys; sys.path.append({str(ROOT / 'tests')!r})"
        given = json.dumps(commands, default=str)
        done = python("-c", script + WITHOUT_TENSORFLOW, given, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_a_trained_model_is_used_and_judged_without_tensorflow(
    without_tensorflow, checkpoint, tmp_path
):
    (tmp_path / "lines.txt").write_text("1 2 3\n4 5\n")
    (tmp_path / "pairs.tsv").write_text("1 2\t3 4\n")
    of_model = f"--checkpoint={checkpoint}"
    assert not without_tensorflow(
        ("embed", of_model, "--input=lines.txt", "--output=vectors.npy"),
        ("align", of_model, "--input=pairs.tsv", "--output=links.txt"),
        ("mine", of_model, "--src=lines.txt", "--tgt=lines.txt", "--output=mined.tsv"),
        ("convert", f"--from=amber:{checkpoint}", "--to=hf:exported"),
        ("evaluate", "--config=retrieval.py", of_model, "--output=scores"),
        ("report", "--results=scores/results.json", "--output=report"),
    )
    for name in (
        *("vectors.npy", "links.txt", "mined.tsv", "exported/model.safetensors"),
        "report/report.html",
    ):
        assert (tmp_path / name).is_file()


def test_what_needs_tensorflow_says_so_in_one_sentence_and_writes_nothing(
    without_tensorflow, checkpoint, tmp_path
):
    tiny_run.write_corpus(tmp_path / "corpus")
    failures = without_tensorflow(
        ("pretrain", "--config=pretraining.py", "--workdir=run"),
        ("convert", f"--from=amber:{checkpoint}", "--to=tf1:exported"),
    )
    assert len(failures) == 2
    for failure in failures:
        assert "TensorFlow" in failure
        assert "pip install 'amber_jax[train]'" in failure
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "exported").exists()
