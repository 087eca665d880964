"""CONTRIBUTING's recipes, carried out in a copy: the files they name, and no others."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tree(tmp_path):
    """A copy of what a recipe may change."""
    for name in ("amber_jax", "configs"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path


def insert(path, text, *, before):
    content = path.read_text("utf-8")
    assert content.count(before) == 1
    path.write_text(content.replace(before, text + before), "utf-8")


def run(tree, script, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


CHUNKS = """
_CHUNKS = Task(
    name="chunks",
    title="Noun phrases",
    kind=TAGS,
    metrics=("f1", "accuracy"),
    labels=("O", "B-NP", "I-NP"),
    languages=("en", "fr"),
    xtreme_folder="chunks",
)

"""
USE = """
import json, pathlib, sys
from amber_jax.config import finetuning_problems
from amber_jax.evaluation import xtreme
from amber_jax.evaluation.scores import label_scores
from amber_jax.finetuning.heads import HEADS
from amber_jax.finetuning.zero_shot import read_tests
from amber_jax.tasks import TASKS
sys.path.insert(0, "configs")
import chunks

config = chunks.get_config()
config.data = sys.argv[1]
task = TASKS["chunks"]
tests = read_tests(config)
answers = [["B-NP", "O", "B-NP"]]
path = xtreme.write_predictions(pathlib.Path("out"), task, "en", answers)
print(json.dumps({
    "problems": list(finetuning_problems(config)),
    "words": [one.words for one in tests["fr"].examples],
    "scores": label_scores(task, tests["en"].examples, answers),
    "file": path.read_text(),
    "labels in a row": HEADS[task.kind].num_slots(8),
}))
"""


def test_a_task_is_a_record_a_reader_and_a_config(tree):
    tasks = tree / "amber_jax" / "tasks.py"
    insert(tasks, CHUNKS, before="# In the order of reports.")
    insert(tasks, "_CHUNKS, ", before="_PAWSX, _XNLI, _RETRIEVAL")
    readers = tree / "amber_jax" / "datasets" / "readers.py"
    insert(readers, '    "chunks": _tags("chunks", hint=""),\n', before='    "pawsx":')
    panx = (tree / "configs" / "panx.py").read_text("utf-8")
    (tree / "configs" / "chunks.py").write_text(panx.replace('"panx"', '"chunks"'))
    (tree / "test-en.tsv").write_text("the\tB-NP\nends\tO\nmeet\tB-NP\n")
    (tree / "test-fr.tsv").write_text("fr:le\tB-NP\nfr:bout\tI-NP\n")
    assert run(tree, USE, tree) == {
        "problems": [],
        "words": [["le", "bout"]],
        "scores": {"f1": 1.0, "accuracy": 1.0},
        "file": "B-NP\nO\nB-NP\n\n",
        "labels in a row": 8,
    }
    recipe = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    recipe = recipe.partition("**Add a task.**")[2].partition("**Add")[0]
    for name in ("amber_jax/tasks.py", "amber_jax/datasets/readers.py", "configs/"):
        assert f"`{name}`" in recipe


MEANS = '    "halved": Similarity(True, 0, lambda products, _: products / 2),\n'
SEARCH = """
import json, numpy as np
from amber_jax import config as settings
from amber_jax.config import retrieval_problems
from amber_jax.search.nearest import top_k

one = settings.retrieval("any")
one.path, one.similarity = "somewhere", "halved"
found = top_k(np.eye(2), 3 * np.eye(2), 1, similarity="halved")
print(json.dumps([list(retrieval_problems(one, 2)), found.scores.tolist()]))
"""


def test_a_similarity_is_one_entry(tree):
    path = tree / "amber_jax" / "search" / "similarities.py"
    insert(path, MEANS, before='    "csls":')
    assert run(tree, SEARCH) == [[], [[0.5], [0.5]]]
    assert (
        "`amber_jax/search/similarities.py`" in (ROOT / "CONTRIBUTING.md").read_text()
    )
