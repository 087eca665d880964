"""Tiny files of every kind that a report is made of."""

import json

import numpy as np

from amber_jax.report.write import write_report
from amber_jax.tasks import TASKS


def retrieval(model="AMBER", *, scores=None, candidates=300, **changes):
    """A retrieval result; `scores` is {language: (xx_to_en, en_to_xx)}."""
    scores = scores or {"es": (0.7, 0.8), "ru": (0.3, 0.4)}
    return {
        "task": "retrieval",
        "name": "heldout",
        "checkpoint": f"runs/{model}",
        "step": 600,
        "model": model,
        "layer": 2,
        "pooling": "mean",
        "special_tokens": False,
        "similarity": "cosine",
        "centred": False,
        "pivot": "en",
        "candidates": dict.fromkeys(scores, candidates),
        "scores": {
            name: {"xx_to_en": pair[0], "en_to_xx": pair[1]}
            for name, pair in scores.items()
        },
    } | changes


def layers(*shares):
    """The layers of a retrieval result, with these averages."""
    averages = {"xx_to_en": 0.0, "en_to_xx": 0.0}
    return {
        str(layer): averages | {"both": share} for layer, share in enumerate(shares)
    }


def fine_tuned(
    task="xnli", model="AMBER", *, scores=None, seed=1, size=5010, **changes
):
    """A fine-tuning result; `scores` is {language: headline metric}."""
    scores = scores or {"en": 0.7, "de": 0.5}
    metric = TASKS[task].metric
    return {
        "task": task,
        "name": task,
        "model": model,
        "checkpoint": f"runs/{model}/seed-{seed}/best",
        "step": 400,
        "seed": seed,
        "metric": metric,
        "examples": dict.fromkeys(scores, size),
        "scores": {
            name: {"accuracy": share} | {metric: share}
            for name, share in scores.items()
        },
        "baselines": {name: {"majority": 0.25} for name in scores},
        "train": {"files": ["train-en.tsv"], "examples": 900, "stand_in": ""},
        "selection": {"metric": metric, "score": 0.71, "step": 400},
        "collapsed": [],
    } | changes


def word_alignment(model="AMBER", *, scores=None, **changes):
    """A word-alignment result; `scores` is {language: AER}."""
    scores = scores or {"es": 0.3, "bg": 0.5}
    return {
        "task": "word_alignment",
        "name": "xl-wa",
        "model": model,
        "checkpoint": f"runs/{model}",
        "step": 600,
        "method": "similarity",
        "layer": 2,
        "symmetrisation": "intersection",
        "threshold": 0.0,
        "examples": dict.fromkeys(scores, 245),
        "scores": {
            name: {"aer": share, "f1": 1 - share, "precision": 0.8, "recall": 0.6}
            for name, share in scores.items()
        },
        "baselines": {name: {"diagonal": 0.75} for name in scores},
    } | changes


def write_results(path, *results):
    """A results.json."""
    path.write_text(json.dumps({"results": results}), "utf-8")
    return path


def write_records(directory, records):
    """A workdir with these metrics."""
    directory.mkdir(parents=True)
    text = "".join(json.dumps(record) + "\n" for record in records)
    (directory / "metrics.jsonl").write_text(text, "utf-8")
    return directory


def write_pretraining(
    directory, *, final=0.5, losses=("mlm", "sentence_alignment"), events=()
):
    """A workdir of 40 steps of pretraining, with events as (step, text)."""
    records = [
        {"kind": "event", "event": "skipped", "step": step, "text": text, "skipped": 1}
        for step, text in events
    ]
    for step in range(1, 41):
        values = dict.fromkeys(losses, 8.0 / step)
        records.append({"kind": "train", "step": step, "stage": "align", **values})
        if step % 10 == 0:
            score = {"evaluation": "heldout", "average": final * step / 40}
            records.append({"kind": "eval", "step": step, "stage": "align", **score})
    if "mlm" in losses:
        records[3 + len(events)]["mlm"] = None  # what a NaN is written as
    return write_records(directory, records)


def write_fine_tuning(directory, *, task="udpos", metric="f1"):
    """A workdir of 20 steps of fine-tuning."""
    records = []
    for step in range(1, 21):
        records.append({"kind": "train", "step": step, "stage": task, "loss": 1 / step})
        if step % 5 == 0:
            score = {"evaluation": "dev", metric: step / 40, "average": step / 40}
            records.append({"kind": "eval", "step": step, "stage": task, **score})
    return write_records(directory, records)


def probe_arrays(*, src=("▁The", "▁virus", "▁病毒"), tgt=("▁Le", "▁vi", "rus", "$x$")):
    """The arrays of a probe.npz."""
    random = np.random.default_rng(0)
    x, y = len(src), len(tgt)
    return {
        "src_pieces": np.array(src),
        "tgt_pieces": np.array(tgt),
        "src_to_tgt": random.dirichlet(np.ones(y), x).astype(np.float32),
        "tgt_to_src": random.dirichlet(np.ones(x), y).astype(np.float32),
        "similarity": random.uniform(-1, 1, (x, y)).astype(np.float32),
        "vectors_before": random.normal(size=(12, 8)).astype(np.float32),
        "vectors_after": random.normal(size=(12, 8)).astype(np.float32),
        "meaning": np.repeat(np.arange(4), 3),
        "language": np.array(["en", "fr", "zh"] * 4),
    }


def write_probe(path, **changes):
    """A probe.npz; a change to None leaves an array out."""
    arrays = probe_arrays() | changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def report(output, *, workdirs=(), labels=(), results=(), probe=None):
    """Writes a report of only what is given."""
    return write_report(
        output, workdirs=workdirs, labels=labels, results=results, probe=probe
    )
