"""A fine-tuned model on the test sets of every language: predictions and scores."""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from amber_jax.config import finetuning_problems
from amber_jax.data.labeled import Labeled, RowShape
from amber_jax.datasets.examples import Read
from amber_jax.datasets.readers import READERS, read_examples
from amber_jax.datasets.tfds_source import is_tfds
from amber_jax.errors import UserError
from amber_jax.evaluation import xtreme
from amber_jax.evaluation.results import FineTuned, Selection, Training
from amber_jax.evaluation.scores import label_scores
from amber_jax.evaluation.typed_json import read_as
from amber_jax.files import read_object
from amber_jax.finetuning.baselines import baselines
from amber_jax.finetuning.heads import HEADS
from amber_jax.finetuning.labeling import Predictor, build_predictor, predict_labels
from amber_jax.inference.devices import on_all_devices
from amber_jax.inference.loading import LoadedModel, load_model, settled
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.heads import LabelingModel
from amber_jax.ranges import refuse
from amber_jax.storage import location
from amber_jax.tasks import TAGS, TASKS, Task
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.training.agreement import decided_by_first, done_by_first
from amber_jax.training.workdir import PREDICTIONS
from amber_jax.types import Params

BEST = "best"
COUNTED = "counted.json"  # beside the best parameters: what baselines learned


@dataclasses.dataclass(frozen=True)
class Labeler:
    """Texts in, labels out, with whatever parameters are given."""

    task: Task
    tokenizer: Tokenizer
    shape: RowShape
    predictor: Predictor

    def predict(self, params: Params, examples: Sequence[Any]) -> list[list[str]]:
        """Returns the labels of each example: of its words, or of the pair alone."""
        return self.predict_encoded(params, examples, self.encode(examples))

    def encode(self, examples: Sequence[Any]) -> list[Labeled]:
        """Returns the examples as ids; a long sentence of words becomes several."""
        return HEADS[self.task.kind].encode(
            examples,
            self.tokenizer,
            self.task.label_ids,
            max_length=self.shape.row_length,
        )

    def predict_encoded(
        self, params: Params, examples: Sequence[Any], encoded: Sequence[Labeled]
    ) -> list[list[str]]:
        """Returns what `predict` does, of examples that were encoded before."""
        predicted = predict_labels(self.predictor, params, encoded, self.shape)
        labels = (
            self.task.labels[number] for numbers in predicted for number in numbers
        )
        return [
            list(itertools.islice(labels, len(example.labels))) for example in examples
        ]


def build_model(task: Task, encoder: EncoderConfig) -> LabelingModel:
    """Returns the encoder with the task's head."""
    pooled = HEADS[task.kind].pooled
    return LabelingModel(encoder, num_labels=len(task.labels), pooled=pooled)


def row_shape(task: Task, tokenizer: Tokenizer, max_length: int) -> RowShape:
    """Returns the sizes of the task's packed rows of `max_length` tokens."""
    num_slots = HEADS[task.kind].num_slots(max_length)
    return RowShape(max_length, num_slots, tokenizer.special)


def build_labeler(
    task: Task, model: LabelingModel, tokenizer: Tokenizer, *, max_length: int
) -> Labeler:
    """Returns what predicts the task's labels."""
    shape = row_shape(task, tokenizer, max_length)
    return Labeler(task, tokenizer, shape, build_predictor(model))


def score_model(
    labeler: Labeler,
    best: LoadedModel,
    tests: Mapping[str, Read],
    *,
    config: ConfigDict,
    output: Path,
) -> FineTuned:
    """Returns the result of a fine-tuned model; writes its predictions.

    Args:
        labeler: of the model's task.
        best: the model, with what its run.json says of training and choice.
        tests: {language: what was read}.
        config: of the tests, as `configs/xnli.py` makes it.
        output: predictions go to `output`/predictions/TASK/test-XX.tsv.
    """
    run, path = best.checkpoint.run, str(best.checkpoint.path)
    task = labeler.task
    counted = _counted(best)
    params = on_all_devices(best.params, of_all_processes=True)
    tested = {
        language: _test_language(labeler, params, read, counted)
        for language, read in tests.items()
    }
    for language, outcome in tested.items():
        answers = outcome.pop("predicted")
        if task.kind != TAGS:
            answers = [label for (label,) in answers]
        write = functools.partial(xtreme.write_predictions, output / PREDICTIONS, task)
        done_by_first(functools.partial(write, language, answers))

    def by_language(key: str) -> dict[str, Any]:
        return {language: outcome[key] for language, outcome in tested.items()}

    return FineTuned(
        task=task.name,
        # UD's own words are another test set than the tokens that XTREME tags.
        name=f"{task.name}, syntactic words" if config.syntactic_words else task.name,
        model=config.label or run["pretrained"]["path"],
        checkpoint=path,
        step=best.checkpoint.step,
        seed=run["config"]["seed"],
        scores=by_language("scores"),
        sizes=by_language("examples"),
        baselines=by_language("baselines"),
        baseline_accuracy=by_language("baseline_accuracy"),
        untranslated=by_language("untranslated"),
        left_out=by_language("left_out"),
        collapsed=tuple(
            name for name, outcome in tested.items() if outcome["collapsed"]
        ),
        train=read_as(
            Training,
            {"first_only": run["config"]["max_train_examples"]} | run["train"],
            "train",
        ),
        selection=read_as(Selection, run["selection"], "selection"),
        metric=task.metric,
    )


def _counted(best: LoadedModel) -> dict[str, Any]:
    """Returns what baselines learned; {} of models written before it was kept."""
    path = best.checkpoint.path / COUNTED
    return read_object(path, "use an intact copy") if path.exists() else {}


def _test_language(
    labeler: Labeler, params: Params, read: Read, counted: Mapping[str, Any]
) -> dict[str, Any]:
    task, examples = labeler.task, read.examples
    is_translated = READERS[task.name].is_translated
    predicted = labeler.predict(params, examples)
    knowing_little = {
        name: label_scores(task, examples, answers)
        for name, answers in baselines(counted, examples).items()
    }
    return {
        "predicted": predicted,
        "scores": label_scores(task, examples, predicted),
        "examples": len(examples),
        "untranslated": sum(not is_translated(example) for example in examples),
        "left_out": read.dropped,
        "baselines": {n: score[task.metric] for n, score in knowing_little.items()},
        "baseline_accuracy": {
            n: score["accuracy"] for n, score in knowing_little.items()
        },
        "collapsed": is_constant(predicted),
    }


def evaluate_task(
    config: ConfigDict,
    checkpoint: Path,
    output: Path,
    *,
    note: Callable[[str], None] = print,
) -> list[FineTuned]:
    """Returns the results of fine-tuned models on the config's test files.

    Args:
        config: as `configs/xnli.py` makes it; only what says of tests is used.
        checkpoint: a workdir of amber finetune (all its seeds) or a `best` folder.
        output: predictions are written here.
        note: called with sentences worth telling.

    Raises:
        UserError: the model is of no or another task, or the tests cannot be read.
    """
    refuse("config", finetuning_problems(config))
    task = TASKS[config.task]
    if config.untrained:
        raise UserError("untrained is for amber finetune; here a model is tested")
    folders = [
        checkpoint / name for name in decided_by_first(lambda: _best(checkpoint))
    ]
    models = [
        load_model(path, kernels=config.kernels, dtype=config.dtype or None, note=note)
        for path in folders or [settled(checkpoint, note)]
    ]
    for model in models:
        _check_task(model, config.task)
        if not (model.checkpoint.path / COUNTED).exists():
            note(
                f"{model.checkpoint.path} has no {COUNTED}, like all models of earlier "
                "versions; of the baselines only majority stands beside its scores"
            )
    tests = read_tests(config)
    return [_evaluate_one(config, task, model, tests, output) for model in models]


def _best(checkpoint: Path) -> list[str]:
    """Returns the `best` folders of a fine-tuning, below `checkpoint`."""
    of_seeds = sorted(checkpoint.glob(f"seed-*/{BEST}"))
    places = [*of_seeds, checkpoint / BEST, checkpoint]
    folders = [path for path in places if path.name == BEST and path.is_dir()]
    return [str(path.relative_to(checkpoint)) for path in folders]


def _evaluate_one(
    config: ConfigDict,
    task: Task,
    model: LoadedModel,
    tests: Mapping[str, Read],
    output: Path,
) -> FineTuned:
    labeler = build_labeler(
        task,
        build_model(task, model.config),
        model.tokenizer,
        max_length=model.checkpoint.run["task"]["max_length"],
    )
    folder = output / f"seed-{model.checkpoint.run['config']['seed']}"
    return score_model(labeler, model, tests, config=config, output=folder)


def _check_task(model: LoadedModel, wanted: str) -> None:
    run = model.checkpoint.run
    task = run["task"]["name"] if "selection" in run else None
    if task != wanted:
        what = f"fine-tuned on {task}" if task else "not the best of a fine-tuning"
        raise UserError(
            f"checkpoint {model.checkpoint.path} is {what}; "
            f"wanted a workdir of amber finetune --config={wanted}.py"
        )


def read_tests(config: ConfigDict) -> dict[str, Read]:
    """Returns {language: what was read}, at most `max_test_examples` of each.

    What was dropped while reading is of the whole files.
    """
    tests = {
        language: read_language(config, config.test, language)
        for language in config.languages
    }
    return {
        language: read._replace(
            examples=read.examples[: config.max_test_examples or None]
        )
        for language, read in tests.items()
    }


def read_language(config: ConfigDict, pattern: str, language: str) -> Read:
    """Returns the task's examples of one language from the files of `pattern`."""
    if is_tfds(pattern):
        source = f"{pattern}@{config.data}" if config.data else pattern
    else:
        source = str(location(config.data) / pattern)
    options = {"syntactic_words": True} if config.syntactic_words else {}
    return read_examples(config.task, source, language=language, **options)


def commonest_share(predicted: Sequence[Sequence[str]]) -> float:
    """Returns which share of all predictions is the most frequent label."""
    counts = collections.Counter(label for labels in predicted for label in labels)
    return max(counts.values()) / counts.total()


def is_constant(predicted: Sequence[Sequence[str]]) -> bool:
    """Returns whether all predictions are one label: training has collapsed."""
    return len(predicted) > 1 and commonest_share(predicted) == 1
