"""Fine-tuning through its public way in: scores, resume, chosen steps, mistakes."""

import dataclasses
import json
import os
import re
import shutil
import signal

import jax
import numpy as np
import pytest
import tiny_run

from amber_jax import config as settings
from amber_jax.errors import UserError
from amber_jax.evaluation import xtreme
from amber_jax.evaluation.results import Selection, read_results
from amber_jax.finetuning import run as finetune
from amber_jax.finetuning import seed as one_seed
from amber_jax.finetuning import zero_shot
from amber_jax.finetuning.labeling import init_labeling
from amber_jax.inference.devices import on_all_devices
from amber_jax.inference.loading import load_model
from amber_jax.pretraining import run as pretrain
from amber_jax.report import tables
from amber_jax.report.grouping import group_results
from amber_jax.report.terminal import results_as_text
from amber_jax.training.checkpoint import find_checkpoint
from amber_jax.training.console import Console
from amber_jax.training.manifest import MANIFEST, complete_folder
from amber_jax.training.metrics import read_metrics

LABELS = ("contradiction", "entailment", "neutral")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A checkpoint whose tokenizer knows the numbers 0..56 and the comma."""
    config = tiny_run.get_config()
    config.corpus = str(tiny_run.write_corpus(tmp_path_factory.mktemp("corpus")))
    config.stages = config.stages[:1]
    workdir = tmp_path_factory.mktemp("pretrained")
    pretrain.pretrain(config, workdir)
    return workdir


def write_pairs(path, count, seed):
    """Pairs whose label is told by their first side: something to learn."""
    random = np.random.default_rng(seed)
    lines = []
    for label in random.integers(0, 3, count):
        first = f"{label} {label} {label}"
        lines.append(f"{first}\t{random.integers(10, 50)}\t{LABELS[label]}\n")
    path.write_text("".join(lines))


def write_words(path, count, seed):
    """Sentences in which numbers are NUM and commas PUNCT, but 7 is a VERB."""
    tag = {",": "PUNCT", "7": "VERB"}
    random = np.random.default_rng(seed)
    words = random.choice([",", "7", "12", "13"], (count, 6))
    sentences = [
        "".join(f"{word}\t{tag.get(word, 'NUM')}\n" for word in sentence)
        for sentence in words
    ]
    path.write_text("\n".join(sentences) + "\n")


def write_names(path, count, seed):
    """Sentences as in WikiAnn: 7 8 is a person, 9 a place, other numbers nothing."""
    language = path.stem.rpartition("-")[2]
    random = np.random.default_rng(seed)
    names = (("7\tB-PER", "8\tI-PER"), ("9\tB-LOC",), ("12\tO",), ("13\tO",))
    lines = [
        "".join(f"{language}:{word}\n" for kind in kinds for word in names[kind])
        for kinds in random.integers(0, 4, (count, 4))
    ]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task data")
    for name, write in (
        *(("xnli", write_pairs), ("udpos", write_words), ("panx", write_names)),
    ):
        (folder / name).mkdir()
        splits = {"train-en": 120, "dev-en": 20, "test-en": 30, "test-fr": 20}
        for seed, (split, count) in enumerate(splits.items()):
            write(folder / name / f"{split}.tsv", count, seed)
    return folder


@pytest.fixture(scope="module")
def config_of(data):
    """A function: the config of a task on that data, a few steps long."""

    def config_of(task):
        config = settings.finetuning(task)
        config.data = str(data / task)
        config.languages = ("en", "fr")
        config.max_length = 16
        config.batch_size = 16
        config.num_epochs = 10
        config.peak_learning_rate = 1e-2
        config.evaluate_every = 20
        config.log_every = 1
        config.tensorboard = False
        config.backend = "jit"
        config.num_devices = 1
        return config

    return config_of


def quietly(_):
    pass


@pytest.fixture(scope="module")
def finished(config_of, pretrained, tmp_path_factory):
    """A function: the workdir and the result of a task's whole run."""
    runs = {}

    def finished(task):
        if task not in runs:
            workdir = tmp_path_factory.mktemp(task)
            results = finetune.finetune(
                config_of(task), pretrained, workdir, note=quietly
            )
            runs[task] = workdir, *results
        return runs[task]

    return finished


@pytest.mark.parametrize("task", ["xnli", "udpos", "panx"])
def test_what_can_be_learned_is_learned_and_written_down(task, finished):
    workdir, result = finished(task)
    assert result.scores["en"]["accuracy"] > 0.9
    assert result.scores["fr"]["accuracy"] > 0.9
    assert result.baseline_accuracy["en"]["majority"] < 0.7
    assert result.sizes == {"en": 30, "fr": 20}
    assert not result.collapsed
    assert read_results(workdir / "results.json") == [result]
    predictions = workdir / "seed-1" / "predictions" / task
    names = sorted(path.name for path in predictions.iterdir())
    assert names == ["test-en.tsv", "test-fr.tsv"]
    text = results_as_text([result])
    assert "selected by" in text and "majority" in text


def test_a_part_of_each_test_set_is_its_first_examples(
    config_of, pretrained, finished, tmp_path
):
    workdir, result = finished("xnli")
    config = config_of("xnli").copy_and_resolve_references()
    config.max_test_examples = 25
    out, copy = tmp_path / "part", tmp_path / "copy"
    (part,) = zero_shot.evaluate_task(config, workdir, out, note=quietly)
    assert part.sizes == {"en": 25, "fr": 20}
    assert part.scores["fr"] == result.scores["fr"]
    name = "predictions/xnli/test-en.tsv"
    answers, first = (
        (folder / "seed-1" / name).read_text().splitlines() for folder in (workdir, out)
    )
    assert first == answers[:25] and len(answers) == 30
    shutil.copytree(workdir, copy)  # what is trained may be tested otherwise
    (again,) = finetune.finetune(config, pretrained, copy, note=quietly)
    assert again.sizes == part.sizes


def test_entities_are_scored_as_in_xtremes_folders(data, finished, tmp_path):
    workdir, result = finished("panx")
    assert result.metric == result.selection.metric == "f1"
    assert result.baselines["fr"].keys() == {"majority", "frequent_tag"}
    for language in ("en", "fr"):
        lines = (data / "panx" / f"test-{language}.tsv").read_text().splitlines()
        tags = "".join(line.partition("\t")[2] + "\n" for line in lines)
        labels = tmp_path / "panx" / f"test-{language}.tsv"
        labels.parent.mkdir(exist_ok=True)
        labels.write_text(tags)
    scored = xtreme.score_folder(
        workdir / "seed-1" / "predictions", tmp_path, languages={"panx": ("en", "fr")}
    )
    f1 = {name: 100 * scores["f1"] for name, scores in result.scores.items()}
    f1["average"] = (f1["en"] + f1["fr"]) / 2
    assert scored["panx"]["f1"] == pytest.approx(f1)
    (evaluation,) = group_results(read_results(workdir / "results.json"))
    f1_table, *others = tables.build_tables(evaluation)
    assert [table.measure for table in (f1_table, *others)] == [
        "F1 in % §",
        "token accuracy in % §",
    ]
    (model,) = (row for row in f1_table.rows if row.kind == tables.MEASURED)
    assert model.cells[-1].share == pytest.approx(f1["average"] / 100)


def test_the_step_is_the_first_with_the_best_dev_score(finished):
    workdir, result = finished("xnli")
    records = read_metrics(workdir / "seed-1" / "metrics.jsonl")
    scores = {r["step"]: r["average"] for r in records if r["kind"] == "eval"}
    assert sorted(scores) == [20, 40, 60, 80]
    best = max(scores.values())
    wanted = min(step for step, score in scores.items() if score == best)
    assert result.selection == Selection("accuracy", best, wanted)
    assert find_checkpoint(workdir / "seed-1" / "best").step == wanted


def test_evaluating_the_workdir_again_gives_the_same_scores(
    config_of, finished, tmp_path
):
    workdir, result = finished("udpos")
    (again,) = zero_shot.evaluate_task(
        config_of("udpos"), workdir, tmp_path, note=quietly
    )
    assert result.baseline_accuracy["fr"].keys() == {"majority", "frequent_tag"}
    assert dataclasses.replace(again, checkpoint=result.checkpoint) == result


def test_a_model_of_an_earlier_version_is_tested_without_what_it_lacks(
    config_of, finished, tmp_path
):
    workdir, result = finished("xnli")
    old = tmp_path / "old"
    shutil.copytree(workdir / "seed-1" / "best", old)
    (old / zero_shot.COUNTED).unlink()
    (old / MANIFEST).unlink()
    complete_folder(old, tmp_path / "best")
    messages = []
    (again,) = zero_shot.evaluate_task(
        config_of("xnli"), tmp_path / "best", tmp_path / "out", note=messages.append
    )
    assert again.scores == result.scores
    assert "only majority" in messages[0]


def test_several_seeds_differ_and_their_spread_is_told(config_of, pretrained, tmp_path):
    config = config_of("xnli").copy_and_resolve_references()
    config.seeds, config.num_epochs = (3, 4), 1
    messages = []
    results = finetune.finetune(config, pretrained, tmp_path, note=messages.append)
    assert [result.seed for result in results] == [3, 4]
    heads = [
        load_model(tmp_path / f"seed-{seed}" / "best").params["head"]["kernel"]
        for seed in (3, 4)
    ]
    assert not np.array_equal(*heads)
    values = [result.average["accuracy"] for result in results]
    mean, deviation = 100 * np.mean(values), 100 * np.std(values, ddof=1)
    majority = 100 * np.mean(
        [shares["majority"] for shares in results[0].baseline_accuracy.values()]
    )
    lines = [line.split() for line in messages[-1].replace("†", "").splitlines()]
    assert ["en", "fr", "average"] in lines
    (baseline,) = (line for line in lines if line[:1] == ["majority"])
    assert baseline[-1] == f"{majority:.1f}"
    (model,) = (line for line in lines if "±" in line)
    assert model[-3:] == [f"{mean:.1f}", "±", f"{deviation:.1f}"]


def test_eight_devices_train_as_one(config_of, pretrained, tmp_path):
    config = config_of("xnli").copy_and_resolve_references()
    config.dropout, config.optimizer.name = 0.0, "sgd"
    config.num_epochs, config.peak_learning_rate = 1, 0.1
    config.row_multiple = 8
    losses = []
    for name, devices in (("jit", 1), ("jit", 8), ("pmap", 8)):
        config.backend, config.num_devices = name, devices
        folder = tmp_path / f"{name}{devices}"
        finetune.finetune(config, pretrained, folder, note=quietly)
        records = read_metrics(folder / "seed-1" / "metrics.jsonl")
        losses.append([r["loss"] for r in records if r["kind"] == "train"])
    assert len(losses[0]) == 8
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    np.testing.assert_allclose(losses[2], losses[0], rtol=1e-5)


def test_lower_layers_keep_their_weights_if_asked_to(config_of, pretrained, tmp_path):
    config = config_of("udpos").copy_and_resolve_references()
    config.num_epochs, config.train_from_layer = 2, 2
    config.optimizer.weight_decay = 0.1
    finetune.finetune(config, pretrained, tmp_path, note=quietly)
    before = load_model(pretrained).params["encoder"]
    after = load_model(tmp_path / "seed-1" / "best").params["encoder"]
    jax.tree.map(
        np.testing.assert_array_equal, after["embeddings"], before["embeddings"]
    )
    kernels = [
        encoder["layers"]["layer"]["intermediate"]["kernel"]
        for encoder in (before, after)
    ]
    moved = np.abs(kernels[1] - kernels[0]).max(axis=(1, 2)) > 0
    assert moved.tolist() == [False, True]


def test_a_pooler_is_kept_and_another_tasks_head_is_not(config_of, finished):
    workdir, _ = finished("xnli")
    source = load_model(workdir / "seed-1" / "best")
    setup = finetune.prepare(
        config_of("xnli"), workdir / "seed-1" / "best", note=quietly
    )
    params = init_labeling(setup.model, source.params, jax.random.key(7))
    kept, fresh = params["pooler"]["kernel"], params["head"]["kernel"]
    np.testing.assert_array_equal(kept, source.params["pooler"]["kernel"])
    assert np.abs(fresh - source.params["head"]["kernel"]).max() > 1e-2


def test_a_run_that_is_asked_to_stop_at_its_last_step_is_finished_by_the_next(
    config_of, pretrained, tmp_path, monkeypatch, capsys
):
    config = config_of("xnli").copy_and_resolve_references()
    config.num_epochs, config.evaluate_every, config.seeds = 1, 4, (1, 2)
    show, notes = Console.train, []

    def train(console, record):
        show(console, record)
        # Records of a step are written when the next one has been dispatched.
        if record["step"] == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Console, "train", train)
        assert finetune.finetune(config, pretrained, tmp_path, note=notes.append) == []
    assert "asked to stop: saved step 8" in capsys.readouterr().out
    assert not (tmp_path / "seed-2").exists()  # though seed 1 has a score of step 4
    assert any(
        re.match(r"xnli, 4 rows: besides the state, a step takes [\d,]+ by", sentence)
        for sentence in notes
    )
    results = finetune.finetune(config, pretrained, tmp_path, note=quietly)
    assert [result.seed for result in results] == [1, 2]
    metrics = (tmp_path / "seed-1" / "metrics.jsonl").read_text().splitlines()
    evaluated = [json.loads(line) for line in metrics if '"eval"' in line]
    assert [record["step"] for record in evaluated] == [4, 8]


def refused(config, pretrained, workdir, *words):
    with pytest.raises(UserError) as caught:
        finetune.finetune(config, pretrained, workdir, note=quietly)
    for word in words:
        assert str(word) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 8}, ["batch_size was 16 and is 8", "--workdir"]),
        ({"max_train_examples": 119}, ["examples is another one"]),
    ],
)
def test_another_run_in_the_same_folder_is_refused(
    change, words, config_of, finished, pretrained
):
    config = config_of("xnli").copy_and_resolve_references()
    config.update(change)
    refused(config, pretrained, finished("xnli")[0], *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "ner"}, ["task is 'ner'", "udpos, panx, pawsx, xnli"]),
        ({"data": ""}, ["data is empty", "--config.data"]),
        ({"seeds": (1, 1)}, ["seeds is (1, 1)"]),
        ({"languages": ()}, ["languages is empty"]),
        ({"syntactic_words": True}, ["syntactic_words is True", "only udpos"]),
        ({"max_length": 64}, ["max_length is 64", "32 positions"]),
        ({"evaluate_every": 0}, ["evaluate_every is 0"]),
        ({"test": "none-{language}.tsv"}, ["none-en.tsv"]),
        ({"peak_learning_rate": 3.0}, ["peak_learning_rate is 3.0"]),
        ({"dev_share": float("nan")}, ["dev_share is nan"]),
        ({"schedule": "wsd"}, ["decay_steps is 0", "'wsd'"]),
        (
            {"schedule": "wsd", "decay_steps": 70, "warmup_steps": 11},
            ["warmup_steps 11", "decay_steps 70", "80 steps of 10 epochs"],
        ),
        ({"train_from_layer": -1}, ["train_from_layer is -1"]),
        ({"train_from_layer": 4}, ["train_from_layer is 4", "has 2 layers"]),
        ({"kernels": {"layers": "twice"}}, ["kernels.layers is 'twice'", "loop"]),
    ],
)
def test_each_mistake_is_one_sentence(change, words, config_of, pretrained, tmp_path):
    config = config_of("xnli").copy_and_resolve_references()
    config.update(change)
    refused(config, pretrained, tmp_path, *words)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_is_not_of_the_task_is_refused(
    config_of, pretrained, tmp_path
):
    with pytest.raises(UserError, match="not the best of a fine-tuning"):
        zero_shot.evaluate_task(config_of("xnli"), pretrained, tmp_path, note=quietly)


def test_a_constant_prediction_is_a_collapse():
    assert zero_shot.is_constant([["a"], ["a"]])
    assert zero_shot.is_constant([["a"], ["a", "a"]])
    assert not zero_shot.is_constant([["a"], ["b"]])


def test_a_collapse_is_told(config_of, pretrained, tmp_path, capsys):
    config = config_of("xnli").copy_and_resolve_references()
    config.num_epochs, config.peak_learning_rate = 1, 0.9  # far too much
    messages = []
    (result,) = finetune.finetune(config, pretrained, tmp_path, note=messages.append)
    assert result.collapsed == ("en", "fr")
    assert "collapsed: one constant prediction in en, fr" in messages[-1]
    assert capsys.readouterr().out.count("training has collapsed") == 1


def test_a_constant_answer_at_a_step_that_is_not_chosen_is_no_collapse(
    config_of, pretrained, tmp_path, capsys, monkeypatch
):
    chosen = iter([True, False, False])
    monkeypatch.setattr(
        one_seed, "_score_dev", lambda *_: dev_record(is_best=next(chosen))
    )
    config = config_of("xnli").copy_and_resolve_references()
    config.num_epochs, config.evaluate_every = 2, 6
    (result,) = finetune.finetune(config, pretrained, tmp_path, note=quietly)
    assert result.selection.step == 6
    assert "training has collapsed" not in capsys.readouterr().out


def dev_record(*, is_best):
    if is_best:
        return {"average": 0.9, "commonest_label": 0.5}
    return {"average": 0.3, "commonest_label": 1.0}


def write_paraphrases(path, rows):
    lines = [f"{first}\t{second}\t{label}\n" for first, second, label in rows]
    path.write_text("".join(lines))


def test_pairs_without_translation_are_predicted_and_not_trained_on(
    config_of, pretrained, tmp_path
):
    folder = tmp_path / "pawsx"
    (folder / "labels" / "pawsx").mkdir(parents=True)
    pairs = [(str(number), "12 13", number % 2) for number in range(20)]
    odd = [("NS", "12", 1), *pairs[:6], ("12", "NS", 0), ("13", "NS", 0)]
    tests = {"en": pairs, "fr": odd}
    write_paraphrases(folder / "train-en.tsv", [*pairs, ("NS", "14", 1)])
    write_paraphrases(folder / "dev-en.tsv", pairs)
    for language, rows in tests.items():
        write_paraphrases(folder / f"test-{language}.tsv", rows)
        gold = "".join(f"{label}\n" for _, _, label in rows)
        (folder / "labels" / "pawsx" / f"test-{language}.tsv").write_text(gold)
    config = config_of("pawsx").copy_and_resolve_references()
    config.data, config.num_epochs, config.max_train_examples = str(folder), 2, 18
    messages = []
    (result,) = finetune.finetune(
        config, pretrained, tmp_path / "run", note=messages.append
    )
    assert result.train.examples == result.train.first_only == 18
    assert "left out: 1 training pairs without translation (NS)" in messages[0]
    assert result.sizes == {"en": 20, "fr": 9}
    assert result.untranslated == {"en": 0, "fr": 3}
    assert result.left_out == {"en": {}, "fr": {}}
    scored = xtreme.score_folder(
        tmp_path / "run" / "seed-1" / "predictions",
        folder / "labels",
        languages={"pawsx": ("en", "fr")},
    )
    shares = {name: scores["accuracy"] for name, scores in result.scores.items()}
    percent = {name: 100 * share for name, share in shares.items()}
    percent["average"] = sum(percent.values()) / 2
    assert scored["pawsx"]["accuracy"] == percent
    answers = tmp_path / "run" / "seed-1" / "predictions" / "pawsx" / "test-fr.tsv"
    right = [
        answer == str(label)
        for answer, (first, second, label) in zip(
            answers.read_text().split(), odd, strict=True
        )
        if "NS" not in (first, second)
    ]
    assert result.scores["fr"]["translated"] == sum(right) / 6
    text = results_as_text([result])
    assert "trained on the first 18 training examples" in text
    assert "(NS) are counted as XTREME counts them: fr 3" in text
    (again,) = zero_shot.evaluate_task(
        config, tmp_path / "run", tmp_path / "again", note=quietly
    )
    assert dataclasses.replace(again, checkpoint=result.checkpoint) == result


def test_dev_is_the_end_of_train_where_there_is_none(config_of, pretrained, data):
    config = config_of("xnli").copy_and_resolve_references()
    config.dev, config.dev_share = "", 0.25
    setup = finetune.prepare(config, pretrained, note=quietly)
    lines = (data / "xnli" / "train-en.tsv").read_text().splitlines()
    assert (len(setup.examples.train), len(setup.examples.dev)) == (90, 30)
    assert setup.examples.dev[0].label == lines[90].split("\t")[2]


def test_what_will_be_done_is_told_with_the_forms_of_the_arithmetic(
    config_of, pretrained
):
    config = config_of("xnli").copy_and_resolve_references()
    config.kernels.layers = "loop"
    setup = finetune.prepare(config, pretrained, note=quietly)
    assert setup.model.config.kernels.layers == "loop"
    messages = finetune.describe(setup).splitlines()
    assert "kernels: attention written, layers loop" in messages[-1]


def test_packed_prediction_is_prediction_one_by_one(config_of, pretrained):
    setup = finetune.prepare(config_of("udpos"), pretrained, note=quietly)
    params = init_labeling(setup.model, setup.pretrained.params, jax.random.key(5))
    sentences = setup.examples.dev
    together = setup.labeler.predict(params, sentences)
    alone = [setup.labeler.predict(params, [sentence])[0] for sentence in sentences]
    assert together == alone
    on_all = on_all_devices(params)
    assert len(jax.tree.leaves(on_all)[0].devices()) == 8
    assert setup.labeler.predict(on_all, sentences) == alone
