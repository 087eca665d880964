"""Every verb with all its files in object storage, against the same on a local disk."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import object_store
import pytest
import tiny_run

from amber_jax.corpora.text import read_many_way

ROOT = Path(__file__).parents[1]
LABELS = ("contradiction", "entailment", "neutral")


@pytest.fixture(scope="module")
def store():
    with object_store.serving() as proxy, object_store.bucket(proxy, 0) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return tmp_path_factory.mktemp("local")


@pytest.fixture(scope="module")
def started(store, local):
    """A function: starts a verb; {} in its flags is a folder or bucket."""

    def start(root, verb, *flags):
        return subprocess.Popen(
            [sys.executable, "-m", "amber_jax", verb]
            + [flag.replace("{}", str(root)) for flag in flags],
            cwd=ROOT,
            env={
                **os.environ,
                **store.environment,
                "NPROC": "16",  # fewer threads can starve a collective
                "PYTHONPATH": str(ROOT),
                "AMBER_CACHE": str(local / "cache"),
                "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def ended(*processes, status=0):
    """Waits for all of them; returns what each wrote."""
    written = [process.communicate() for process in processes]
    for process, (_, stderr) in zip(processes, written, strict=True):
        assert process.returncode == status, f"{process.args}: {stderr[-2000:]}"
    return [
        subprocess.CompletedProcess(process.args, status, *texts)
        for process, texts in zip(processes, written, strict=True)
    ]


@pytest.fixture(scope="module")
def amber(started):
    """A function: runs a verb to its end."""

    def run(root, verb, *flags, status=0):
        (done,) = ended(started(root, verb, *flags), status=status)
        return done

    return run


@pytest.fixture(scope="module")
def both(started, store, local):
    """A function: runs a verb on the local folder and at once on the bucket."""
    texts = local / "texts"
    (texts / "mono").mkdir(parents=True)
    (texts / "parallel").mkdir()
    _, rows = read_many_way(ROOT / "data" / "sample" / "parallel_eval.tsv.xz")
    rows = [row for row in rows if {"en", "fr"} <= {*row}][:300]
    for code in ("en", "fr"):
        lines = "".join(f"{row[code]}\n" for row in rows)
        (texts / "mono" / f"{code}.txt").write_text(lines)
        (texts / "parallel" / f"x.en-fr.{code}").write_text(lines)
        (local / f"few.{code}").write_text("".join(lines.splitlines(True)[:20]))
    (local / "pairs").write_text(
        "".join(f"{r['en']} ||| {r['fr']}\n" for r in rows[:9])
    )
    (local / "tatoeba").mkdir()
    for code, name in (("en", "eng"), ("fr", "fra")):
        lines = (local / f"few.{code}").read_text()
        (local / "tatoeba" / f"tatoeba.fra-eng.{name}").write_text(lines)
    random = np.random.default_rng(0)
    (local / "xnli").mkdir()
    for split in ("train-en", "dev-en", "test-en", "test-fr"):
        labels = random.integers(0, 3, 40)
        pairs = [
            f"{label} {label}\t{label + 20}\t{LABELS[label]}\n" for label in labels
        ]
        (local / "xnli" / f"{split}.tsv").write_text("".join(pairs))
    tiny_run.write_corpus(local / "rows")
    store.put_folder(local, "all")
    roots = local, store.path("all")

    def run(verb, *flags):
        return ended(*(started(root, verb, *flags) for root in roots))

    return run


def same(store, local, name):
    """Returns a file after comparing both of its places."""
    content = store.get(f"all/{name}")
    assert content
    assert content == (local / name).read_bytes()
    return content


def test_text_becomes_a_corpus(both, started, amber, store, local):
    both(
        "train_tokenizer",
        *("--config=tokenizer.py:{}/texts", "--config.vocab_size=900"),
        "--output={}/tokenizer",
    )
    for name in store.folder("all/tokenizer"):
        same(store, local, f"tokenizer/{name}")
    flags = [
        *("--config=corpus_folder.py:{}/texts", "--config.tokenizer={}/tokenizer"),
        *("--config.rows_per_shard=8", "--config.processes=2"),
        "--config.unit_bytes=16384",
    ]
    outlooks = both("build_corpus", *flags, "--output={}/corpus", "--dry_run")
    assert "en-fr" in outlooks[1].stdout
    both("build_corpus", *flags, "--output={}/corpus")
    folder = store.folder("all/corpus")
    for name in folder:
        if not name.startswith("card"):  # which names the folder's place
            same(store, local, f"corpus/{name}")
    assert {"card.md", "manifest.json"} < {*folder}
    shares = [*flags, "--output={}/merged", "--num_tasks=2"]
    for task in (0, 1):
        amber(store.path("all"), "build_corpus", *shares, f"--task_index={task}")
    amber(store.path("all"), "build_corpus", *shares, "--merge")
    merged = store.folder("all/merged")
    assert merged["manifest.json"] == folder["manifest.json"]

    store.fail(seconds=0.5, method="write", name="all/killed/shards")
    store.requests.clear()
    process = started(store.path("all"), "build_corpus", *flags, "--output={}/killed")
    while not any("all/killed/shards" in name for _, name in store.requests):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.kill()
    process.communicate()
    store.faults.clear()
    done = amber(store.path("all"), "build_corpus", *flags, "--output={}/killed")
    assert "going on where a build was cut" in done.stdout
    killed = store.folder("all/killed")
    assert {*killed} == {*folder}
    assert killed["manifest.json"] == folder["manifest.json"]

    here, there = both("inspect", "{}/corpus", "--rows=1")
    assert here.stdout == there.stdout


def losses(text):
    records = map(json.loads, text.splitlines())
    return [record["loss"] for record in records if record["kind"] == "train"]


def test_models_are_trained_tested_and_used(both, amber, store, local):
    run = ["--config=tests/tiny_run.py", "--config.corpus={}/rows"]
    both("pretrain", *run, "--workdir={}/run")
    wanted = losses((local / "run" / "metrics.jsonl").read_text())
    assert wanted
    assert losses(store.get("all/run/metrics.jsonl").decode()) == wanted
    cached = "--config.cache_corpus=True"
    amber(store.path("all"), "pretrain", *run, cached, f"--workdir={local}/cached")
    assert losses((local / "cached" / "metrics.jsonl").read_text()) == wanted
    assert any((local / "cache" / "copies").rglob("*.tfrecord"))

    model = "--checkpoint={}/run"
    both("embed", model, "--input={}/few.en", "--output={}/x.npy")
    vectors = np.load(io.BytesIO(same(store, local, "x.npy")))
    assert vectors.shape == (20, 16)
    sides = ["--src={}/few.en", "--tgt={}/few.fr"]
    both("mine", model, *sides, "--output={}/mined.tsv")
    both("align", model, "--input={}/pairs", "--output={}/links")
    for name in ("mined.tsv", "links"):
        same(store, local, name)

    retrieval = ["--config=tatoeba.py", "--config.retrievals[0].path={}/tatoeba"]
    retrieval += ["--config.retrievals[0].max_length=16", model]
    both("evaluate", *retrieval, "--output={}/scores")
    task = [
        "--config=xnli.py",
        "--config.data={}/xnli",
        "--config.languages=('en','fr')",
    ]
    task += ["--config.train=train-en.tsv", "--config.dev=dev-en.tsv"]
    task += ["--config.test=test-{language}.tsv", "--config.max_length=16"]
    task += ["--config.batch_size=8", "--config.num_epochs=1", "--config.seeds=(1,)"]
    both("finetune", *task, model, "--workdir={}/xnli-run")
    both(
        "report",
        *("--workdir={}/run", "--results={}/scores/results.json"),
        *("--results={}/xnli-run/results.json", "--output={}/report"),
    )
    assert {"report.md", "report.html"} < {*store.folder("all/report")}
    here, there = both("inspect", "{}/run")
    assert len(here.stdout.splitlines()) == len(there.stdout.splitlines())
    both("convert", "--from=amber:{}/run", "--to=hf:{}/hf")
    for name in ("hf", "sentence-transformers", "tf1"):
        there = f"{name}:{{}}/{name}"
        if name != "hf":
            amber(store.path("all"), "convert", "--from=hf:{}/hf", f"--to={there}")
        back = f"--to=amber:{local}/from-{name}"
        amber(store.path("all"), "convert", f"--from={there}", back)
    same(store, local, "hf/model.safetensors")
    done = amber(store.path("all"), "doctor", "--workdir={}/run")
    assert "gs://" in done.stdout and "can be read and written" in done.stdout


def test_mistakes_are_one_sentence_and_status_2(amber, store, local):
    tiny_run.write_corpus(local / "mistakes")
    store.put_folder(local / "mistakes", "mistakes")
    run = ["--config=tests/tiny_run.py", f"--workdir={local}/w"]
    gone = ["--config.corpus=gs://amber-no-such-bucket/c"]
    store.fail(status=403, name="mistakes/shards", method="GET")
    store.fail(status=403, name="refused", method="write")
    done = amber(store.path("refused"), "doctor", "--workdir={}", status=2)
    assert "wanted credentials" in done.stderr
    for flags in (gone, [f"--config.corpus={store.path('mistakes')}"]):
        done = amber("", "pretrain", *run, *flags, status=2)
        assert done.stderr.strip().splitlines()[-1].startswith("error: ")
        assert "Traceback" not in done.stderr
