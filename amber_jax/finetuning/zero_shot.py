"""A fine-tuned model on the test sets of every language: predictions, scores, table."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from amber_jax.config import finetuning_problems
from amber_jax.data.labelled import Labelled, RowShape
from amber_jax.datasets.examples import Read
from amber_jax.errors import UserError
from amber_jax.evaluation import xtreme
from amber_jax.files import read_object
from amber_jax.finetuning.labelling import Predictor, build_predictor, predict_labels
from amber_jax.finetuning.task import Task, build_task
from amber_jax.inference.loading import LoadedModel, load_model
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.heads import LabellingModel
from amber_jax.ranges import refuse
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.training.workdir import PREDICTIONS
from amber_jax.types import Params

BEST = "best"
COUNTED = "counted.json"  # beside the best parameters: what baselines learned


@dataclasses.dataclass(frozen=True)
class Labeller:
    """Texts in, labels out, with whatever parameters are given."""

    task: Task
    tokenizer: Tokenizer
    shape: RowShape
    predictor: Predictor

    def predict(self, params: Params, examples: Sequence[Any]) -> list[Any]:
        """Returns a label per example, or a list of them per sentence of words."""
        return self.predict_encoded(params, examples, self.encode(examples))

    def encode(self, examples: Sequence[Any]) -> list[Labelled]:
        """Returns the examples as ids; a long sentence of words becomes several."""
        return self.task.encode(
            examples,
            self.tokenizer,
            self.task.label_ids,
            max_length=self.shape.row_length,
        )

    def predict_encoded(
        self, params: Params, examples: Sequence[Any], encoded: Sequence[Labelled]
    ) -> list[Any]:
        """Returns what `predict` does, of examples that were encoded before."""
        predicted = predict_labels(self.predictor, params, encoded, self.shape)
        return self.task.decode(examples, predicted, self.task.labels)


def build_model(task: Task, encoder: EncoderConfig) -> LabellingModel:
    """Returns the encoder with the task's head."""
    return LabellingModel(encoder, num_labels=len(task.labels), pooled=task.pooled)


def row_shape(task: Task, tokenizer: Tokenizer, max_length: int) -> RowShape:
    """Returns the sizes of the task's packed rows of `max_length` tokens."""
    return RowShape(max_length, task.num_slots(max_length), tokenizer.special)


def build_labeller(
    task: Task, model: LabellingModel, tokenizer: Tokenizer, *, max_length: int
) -> Labeller:
    """Returns what predicts the task's labels."""
    shape = row_shape(task, tokenizer, max_length)
    return Labeller(task, tokenizer, shape, build_predictor(model))


def score_model(
    labeller: Labeller,
    best: LoadedModel,
    tests: Mapping[str, Read],
    *,
    config: ConfigDict,
    output: Path,
) -> dict[str, Any]:
    """Returns the result of a fine-tuned model; writes its predictions.

    Args:
        labeller: of the model's task.
        best: the model, with what its run.json says of training and choice.
        tests: {language: what was read}.
        config: of the tests, as `configs/xnli.py` makes it.
        output: predictions go to `output`/predictions/TASK/test-XX.tsv.
    """
    run, path = best.checkpoint.run, str(best.checkpoint.path)
    name = run["task"]["name"]
    counted = _counted(best)
    tested = {
        language: _test_language(labeller, best.params, read, counted)
        for language, read in tests.items()
    }
    for language, one in tested.items():
        folder = output / PREDICTIONS
        xtreme.write_predictions(folder, name, language, one.pop("predicted"))
    columns = {
        key: {language: one[key] for language, one in tested.items()}
        for key in (
            *("scores", "examples", "untranslated", "left_out"),
            *("baselines", "baseline_accuracy"),
        )
    }
    return {
        "task": name,
        # UD's own words are another test set than the tokens that XTREME tags.
        "name": f"{name}, syntactic words" if config.syntactic_words else name,
        "model": config.label or run["pretrained"]["path"],
        "checkpoint": path,
        "step": best.checkpoint.step,
        "seed": run["config"]["seed"],
        "train": {"first_only": run["config"]["max_train_examples"]} | run["train"],
        "selection": run["selection"],
        "metric": labeller.task.metric,
        **columns,
        "average": average(columns["scores"]),
        "collapsed": [name for name, one in tested.items() if one["collapsed"]],
    }


def _counted(best: LoadedModel) -> dict[str, Any]:
    """Returns what baselines learned; {} of models written before it was kept."""
    path = best.checkpoint.path / COUNTED
    return read_object(path, "use an intact copy") if path.exists() else {}


def _test_language(
    labeller: Labeller, params: Params, read: Read, counted: Mapping[str, Any]
) -> dict[str, Any]:
    task, examples = labeller.task, read.examples
    predicted = labeller.predict(params, examples)
    knowing_little = {
        name: task.score(examples, answers)
        for name, answers in task.baselines(counted, examples).items()
    }
    return {
        "predicted": predicted,
        "scores": task.score(examples, predicted),
        "examples": len(examples),
        "untranslated": sum(not task.is_translated(one) for one in examples),
        "left_out": read.dropped,
        "baselines": {n: score[task.metric] for n, score in knowing_little.items()},
        "baseline_accuracy": {n: one["accuracy"] for n, one in knowing_little.items()},
        "collapsed": is_constant(predicted),
    }


def evaluate_task(
    config: ConfigDict,
    checkpoint: Path,
    output: Path,
    *,
    note: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Returns the results of fine-tuned models on the config's test files.

    Args:
        config: as `configs/xnli.py` makes it; only what says of tests is used.
        checkpoint: a workdir of launch/finetune.py (all its seeds) or a `best` folder.
        output: predictions are written here.
        note: called with sentences worth telling.

    Raises:
        UserError: the model is of no or another task, or the tests cannot be read.
    """
    refuse("config", finetuning_problems(config))
    task = build_task(config.task, syntactic_words=config.syntactic_words)
    if config.untrained:
        raise UserError("untrained is for launch/finetune.py; here a model is tested")
    places = [*sorted(checkpoint.glob(f"seed-*/{BEST}")), checkpoint / BEST, checkpoint]
    found = [path for path in places if path.name == BEST and path.is_dir()]
    models = [load_model(path, note=note) for path in found or [checkpoint]]
    for model in models:
        _check_task(model, config.task)
        if not (model.checkpoint.path / COUNTED).exists():
            note(
                f"{model.checkpoint.path} has no {COUNTED}, like all models of earlier "
                "versions; of the baselines only majority stands beside its scores"
            )
    tests = read_tests(config, task)
    return [_evaluate_one(config, task, model, tests, output) for model in models]


def _evaluate_one(
    config: ConfigDict,
    task: Task,
    model: LoadedModel,
    tests: Mapping[str, Read],
    output: Path,
) -> dict[str, Any]:
    labeller = build_labeller(
        task,
        build_model(task, model.config),
        model.tokenizer,
        max_length=model.checkpoint.run["task"]["max_length"],
    )
    folder = output / f"seed-{model.checkpoint.run['config']['seed']}"
    return score_model(labeller, model, tests, config=config, output=folder)


def _check_task(model: LoadedModel, wanted: str) -> None:
    run = model.checkpoint.run
    found = run["task"]["name"] if "selection" in run else None
    if found != wanted:
        what = f"fine-tuned on {found}" if found else "not the best of a fine-tuning"
        raise UserError(
            f"checkpoint {model.checkpoint.path} is {what}; "
            f"wanted a workdir of launch/finetune.py --config=configs/{wanted}.py"
        )


def read_tests(config: ConfigDict, task: Task) -> dict[str, Read]:
    """Returns {language: what was read} of the config's tests."""
    return {
        language: task.read(source(config, config.test), language)
        for language in config.languages
    }


def source(config: ConfigDict, pattern: str) -> str:
    """Returns where a reader finds the files of `pattern`."""
    if pattern.startswith("tfds:"):
        return f"{pattern}@{config.data}" if config.data else pattern
    return str(Path(config.data) / pattern)


def average(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Returns every metric's mean over the languages."""
    metrics = next(iter(scores.values()))
    return {
        metric: sum(score[metric] for score in scores.values()) / len(scores)
        for metric in metrics
    }


def commonest_share(predicted: Sequence[Any]) -> float:
    """Returns which share of all predictions is the most frequent label."""
    counts = collections.Counter(
        label
        for one in predicted
        for label in (one if isinstance(one, list) else [one])
    )
    return max(counts.values()) / counts.total()


def is_constant(predicted: Sequence[Any]) -> bool:
    """Returns whether all predictions are one label: training has collapsed."""
    return len(predicted) > 1 and commonest_share(predicted) == 1


def as_table(result: Mapping[str, Any]) -> str:
    """Returns a result's scores and baselines as lines of text, in percent."""
    chosen, metrics = result["selection"], list(result["average"])
    baselines = list(next(iter(result["baselines"].values())))
    lines = [
        f"{result['name']}: {result['model']}, seed {result['seed']}, step "
        f"{result['step']} (best {chosen['metric']} on English dev: "
        f"{100 * chosen['score']:.1f}%)"
    ]
    lines += training_remarks(result)
    cells = [*metrics, *(f"{name} acc." for name in baselines)]
    widths = [max(10, len(cell) + 2) for cell in cells]
    row = functools.partial(_row, widths)
    lines.append(f"{'language':<10}{'examples':>10}" + row(cells))
    for language, score in result["scores"].items():
        knowing_little = result["baseline_accuracy"][language]
        numbers = [*score.values(), *knowing_little.values()]
        lines.append(
            f"{language:<10}{result['examples'][language]:>10,}"
            + row([f"{100 * number:.1f}%" for number in numbers])
        )
    means = [
        *result["average"].values(),
        *average(result["baseline_accuracy"]).values(),
    ]
    lines.append(
        f"{'average':<10}{'':>10}" + row([f"{100 * number:.1f}%" for number in means])
    )
    lines += _test_remarks(result)
    if result["collapsed"]:
        lines.append(
            f"collapsed: one constant prediction in {', '.join(result['collapsed'])}; "
            "try another seed, warm-up steps or a lower learning rate"
        )
    return "\n".join(lines)


def training_remarks(result: Mapping[str, Any]) -> list[str]:
    """Returns what makes a result's training another than the benchmark's."""
    train, remarks = result["train"], []
    if train["stand_in"]:
        remarks.append(f"stand-in training set: {train['stand_in']}")
    if train["first_only"]:
        remarks.append(
            f"trained on the first {train['first_only']:,} examples of its training "
            "set only (max_train_examples)"
        )
    return remarks


def _test_remarks(result: Mapping[str, Any]) -> list[str]:
    """Returns which rows of the tests are odd, and how many."""
    counts = {name: count for name, count in result["untranslated"].items() if count}
    told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    remarks = [f"without translation (NS), counted as XTREME does: {told}"]
    return (remarks if told else []) + [
        f"left out in {name}: {count:,} {reason}"
        for name, reasons in result["left_out"].items()
        for reason, count in reasons.items()
    ]


def _row(widths: Sequence[int], cells: Sequence[str]) -> str:
    return "".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
