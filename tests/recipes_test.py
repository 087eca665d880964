"""The recipes of CONTRIBUTING and design.md, carried out: their files, no others."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_run

ROOT = Path(__file__).parents[1]
COPIED = ("amber_jax", "configs", "benchmarks", "tests/losses")


@pytest.fixture
def tree(tmp_path):
    """A copy of what a recipe may change."""
    folder = tmp_path / "tree"
    for name in COPIED:
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    return folder


def insert(path, text, *, before):
    content = path.read_text("utf-8")
    assert content.count(before) == 1
    path.write_text(content.replace(before, text + before), "utf-8")


def changed(tree):
    """The files that differ from the repository's; of a new one, its folder."""
    paths = set()
    for path in tree.rglob("*"):
        name = path.relative_to(tree)
        if not path.is_file() or path.suffix == ".pyc":
            continue
        if not (ROOT / name).exists():
            paths.add(f"{name.parent}/")
        elif path.read_bytes() != (ROOT / name).read_bytes():
            paths.add(str(name))
    return paths


def paths_in(text):
    """The files and folders that a text names in backticks, from the top."""
    names = re.findall(r"`([\w./]+(?:\.py|/))`", text)
    return {
        name if "/" in name and (ROOT / name).exists() else f"amber_jax/{name}"
        for name in names
        if "/" in name or (ROOT / "amber_jax" / name).exists()
    }


def recipe(name):
    """The paths that a recipe of CONTRIBUTING names."""
    _, marker, rest = (
        (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition(f"**Add {name}.**")
    )
    assert marker
    return paths_in(rest.split("\n\n")[0])


def row(name):
    """The paths that design.md's row of what to add names."""
    lines = (ROOT / "docs" / "design.md").read_text("utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(f"| {name} * |"))
    return paths_in(line)


def run(tree, *command):
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=tree.parent,
        env={
            **os.environ,
            "PYTHONPATH": f"{tree}:{ROOT / 'tests'}",
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_backend_optimization_level=0",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def answer(tree, script, *arguments):
    return json.loads(run(tree, "-c", script, *arguments).splitlines()[-1])


LOSS = '''
"""How far translations lie from each other."""

from amber_jax.types import Array, WeightedSum


def closeness(src: Array, tgt: Array, present: Array, *, scale: float) -> WeightedSum:
    """The squared distances of translations [S, D], where `present` [S] is 1."""
    distances = scale * ((src - tgt) ** 2).sum(-1)
    return WeightedSum((distances * present).sum(), present.sum())
'''
LOSS_TEST = """
import numpy as np
from amber_jax.losses.closeness import closeness


def test_closeness():
    random = np.random.default_rng(0)
    src, tgt = random.normal(size=(2, 5, 3))
    present = np.array([1.0, 0, 1, 1, 0])
    expected = sum(2 * np.sum((src[i] - tgt[i]) ** 2) for i in (0, 2, 3))
    loss = closeness(src, tgt, present, scale=2.0)
    np.testing.assert_allclose(loss, (expected, 3))
"""
TERMS = """\
        if embeddings and CLOSENESS in losses:
            terms[CLOSENESS] = closeness(*embeddings, scale=options[CLOSENESS].scale)
"""
OPTIONS = """\
@dataclasses.dataclass(frozen=True)
class Closeness:
    scale: float


"""
DEFAULTS = """\
    config.closeness = ConfigDict()
    config.closeness.scale = 2.0

"""
TRAIN = """
import json, pathlib, runpy, sys
import tiny_run
from amber_jax.pretraining.run import pretrain
from amber_jax.training.metrics import read_metrics
from benchmarks import own_step

runpy.run_path(sys.argv[2])["test_closeness"]()
config = tiny_run.get_config()
config.corpus = sys.argv[1]
config.stages = config.stages[1:]
(stage,) = config.stages
config.model.num_layers, config.save_every = 1, 0
stage.num_steps, stage.closeness.weight = 2, 1.0
for loss in ("masked_lm", "sentence_alignment", "word_alignment"):
    stage[loss].weight = 0.0
assert own_step.DEFAULTS["closeness"] == config.closeness.to_dict()
pretrain(config, pathlib.Path("run"))
records = read_metrics(pathlib.Path("run/metrics.jsonl"))
print(json.dumps([[one["loss"], one["closeness"]] for one in records]))
"""


def test_a_sentence_loss(tree, tmp_path):
    package = tree / "amber_jax"
    (package / "losses" / "closeness.py").write_text(LOSS.lstrip(), "utf-8")
    (tree / "tests" / "losses" / "closeness_test.py").write_text(LOSS_TEST, "utf-8")
    names = package / "losses" / "__init__.py"
    insert(names, 'CLOSENESS = "closeness"\n', before="LOSSES = (")
    insert(names, "CLOSENESS, ", before="MASKED_LM, SENTENCES, WORDS)")
    insert(names, "CLOSENESS, ", before="SENTENCES})")
    objectives = package / "pretraining" / "objectives.py"
    for text in (
        "from amber_jax.losses import CLOSENESS\n",
        "from amber_jax.losses.closeness import closeness\n",
    ):
        insert(objectives, text, before="from amber_jax.losses import ATTENTION")
    insert(objectives, TERMS, before="        return terms\n\n    return Objective(")
    insert(objectives, OPTIONS, before="OPTIONS = {")
    insert(objectives, "CLOSENESS: Closeness, ", before="SENTENCES: SentenceAlignment,")
    config = package / "config" / "pretraining.py"
    insert(
        config, '    "closeness": {"scale": real(0, 1e4)},\n', before='    "optimizer":'
    )
    insert(config, DEFAULTS, before="    config.optimizer = ")
    benchmark = tree / "benchmarks" / "own_step.py"
    insert(
        benchmark, '    "closeness": {"scale": 2.0},\n', before='    "word_alignment":'
    )
    assert changed(tree) == recipe("a loss") == row("a sentence loss")

    corpus = tiny_run.write_corpus(tmp_path / "corpus")
    test = tree / "tests" / "losses" / "closeness_test.py"
    (first, loss), (second, _) = answer(tree, TRAIN, corpus, test)
    assert first == loss > second > 0


SOURCE = '''\
@dataclass(frozen=True)
class JsonLinesSource(Converted):
    """One JSON object a line, with a text for each language code."""

    src_lang: str
    tgt_lang: str
    path: Path

    def rows(self, facts: Conversion) -> Iterator[Row]:
        """Yields both texts of each line."""
        for line in split_lines(read_chunks(self.path)):
            cells = json.loads(line)
            yield tuple(clean_text(cells[of]) for of in (self.src_lang, self.tgt_lang))


'''
SENTENCES = """
{"en": "1 2\\n3", "fr": "4\\t5 6"}
{"fr": "8 9", "en": "7", "de": "0"}
{"en": "", "fr": "1"}
"""


def test_a_source(tree, tmp_path):
    downloads = tree / "amber_jax" / "corpora" / "downloads.py"
    insert(downloads, "import json\n\n", before="from collections.abc")
    insert(
        downloads,
        "from amber_jax.corpora.text import clean_text, read_chunks, split_lines\n\n",
        before="_TRANSLATION =",
    )
    insert(downloads, SOURCE, before="@dataclass(frozen=True)\nclass WikipediaSource")
    sample = (ROOT / "configs" / "corpus_sample.py").read_text("utf-8")
    begin, end = sample.index("    texts ="), sample.index("    config.row_length")
    text = sample[:begin] + (
        '    path = Path("pairs.jsonl")\n'
        '    config.sources = (JsonLinesSource("en", "fr", path),)\n'
        "    config.evaluation_files = ()\n"
    )
    text = (text + sample[end:]).replace("ManyWaySource, TextSource", "JsonLinesSource")
    text = text.replace("amber_jax.corpora.sources", "amber_jax.corpora.downloads")
    (tree / "configs" / "json_lines.py").write_text(text, "utf-8")
    assert changed(tree) == recipe("a source")
    assert changed(tree) == row("corpora in another format")

    tiny_run.save_tokenizer(tmp_path / "tokenizer")
    (tmp_path / "pairs.jsonl").write_text(SENTENCES.lstrip(), "utf-8")
    config = tree / "configs" / "json_lines.py"
    command = ("-m", "amber_jax", "build_corpus", f"--config={config}")
    run(
        tree,
        *command,
        "--config.tokenizer=tokenizer",
        "--config.processes=1",
        "--output=corpus",
    )
    manifest = json.loads((tmp_path / "corpus" / "manifest.json").read_text("utf-8"))
    stream = manifest["streams"]["pair"]["en-fr"]
    assert (stream["inputs"], stream["pairs"]) == (3, 2)
    assert stream["real_tokens"] == 6 + 3 + 3 + 3
    (facts,) = json.loads((tmp_path / "corpus" / "inputs.json").read_text("utf-8"))
    assert facts["kind"] == "jsonlines"


ADDRESSES = '''
def has_address(line: Line, without: bool) -> bool:
    """Returns whether a line holds an e-mail address."""
    return without and re.search(r"\\w@\\w+[.]\\w", line.text) is not None


'''


def test_a_filter(tree, tmp_path):
    cleaning = tree / "amber_jax" / "corpora" / "cleaning"
    lines, options = cleaning / "lines.py", cleaning / "options.py"
    insert(lines, "import re\n", before="import unicodedata")
    insert(lines, ADDRESSES.lstrip(), before="FILTERS: ")
    entry = '    "address": ("without_addresses", has_address),\n'
    insert(lines, entry, before='    "too_short":')
    option = "    without_addresses: bool = False\n"
    insert(options, option, before="    min_characters: int")
    insert(
        options,
        '    "without_addresses": bool,\n',
        before='    "min_characters": whole',
    )
    assert changed(tree) == recipe("a filter") == row("a filter of text")

    tiny_run.save_tokenizer(tmp_path / "tokenizer")
    (tmp_path / "text" / "mono").mkdir(parents=True)
    text = "1 2 3\n4 write@me.now 5\n6 @ 7.8\n"
    (tmp_path / "text" / "mono" / "en.txt").write_text(text, "utf-8")
    config = f"{tree / 'configs' / 'corpus_folder.py'}:text"
    command = ("-m", "amber_jax", "build_corpus", f"--config={config}")
    settings = {
        **{"tokenizer": "tokenizer", "processes": 1, "row_length": 32},
        **{"max_side_tokens": 14, "cleaning.without_addresses": True},
    }
    flags = [f"--config.{name}={value}" for name, value in settings.items()]
    run(tree, *command, *flags, "--output=corpus")
    manifest = json.loads((tmp_path / "corpus" / "manifest.json").read_text("utf-8"))
    assert manifest["rejects"] == {"address": 1}


UPDATE = """
import json
import jax.numpy as jnp
from amber_jax import config as settings

config = settings.pretraining()
config.corpus, config.optimizer.name = "somewhere", "lion"
config.stages = (settings.stage("first"),)
settings.validate(config)
from amber_jax.training.optimizer import build_optimizer

params = {"kernel": jnp.array([3.0, -4.0])}
optimizer = build_optimizer(**config.optimizer)
grads = {"kernel": jnp.array([0.5, -2.0])}
direction, _ = optimizer.update(grads, optimizer.init(params), params)
print(json.dumps(direction["kernel"].tolist()))
"""
LION = """\
    if name == "lion":
        return optax.chain(clip, optax.scale_by_lion(b1=beta1, b2=beta2), decay)
"""


def test_an_optimizer(tree):
    path = tree / "amber_jax" / "training" / "optimizer.py"
    insert(path, '"lion", ', before='"adamw", "lamb"')
    insert(path, LION, before='    if name == "lamb":')
    assert changed(tree) == row("an optimizer of optax")
    assert answer(tree, UPDATE) == pytest.approx([1.03, -1.04])


STEP = """
import functools, json
import optax, toy_objective
import jax
from amber_jax.training.state import new_state
from amber_jax.training.step import train_step

state = new_state(toy_objective.params(), optax.identity())
step = functools.partial(
    train_step,
    objective=toy_objective.objective,
    loss_weights=lambda _: {"error": 1.0},
    learning_rate=lambda _: 0.0,
    optimizer=optax.identity(),
    micro_batches=1,
)
_, metrics = step(state, toy_objective.batch(), jax.random.key(0))
print(json.dumps(float(metrics["params_norm"])))
"""


def test_a_number_in_the_log(tree):
    path = tree / "amber_jax" / "training" / "step.py"
    norm = '        "params_norm": optax.tree.norm(new_state.params),\n'
    insert(path, norm, before='        "grad_norm": grad_norm,')
    assert changed(tree) == row("a number in the log")
    assert answer(tree, STEP) == pytest.approx((0.25 + 1 + 4 + 0.0625) ** 0.5)


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
from configs import chunks

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
    assert changed(tree) == recipe("a task") == row("a task of named entities")
    (tree / "test-en.tsv").write_text("the\tB-NP\nends\tO\nmeet\tB-NP\n")
    (tree / "test-fr.tsv").write_text("fr:le\tB-NP\nfr:bout\tI-NP\n")
    assert answer(tree, USE, tree) == {
        "problems": [],
        "words": [["le", "bout"]],
        "scores": {"f1": 1.0, "accuracy": 1.0},
        "file": "B-NP\nO\nB-NP\n\n",
        "labels in a row": 8,
    }


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
    assert changed(tree) == recipe("a similarity") == row("a similarity")
    assert answer(tree, SEARCH) == [[], [[0.5], [0.5]]]
