"""The results of evaluations: one schema, which writes results.json and reads it.

A field's type says what a file may hold; what differs is refused with the field's name.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amber_jax.errors import UserError
from amber_jax.evaluation.scores import by_baseline
from amber_jax.evaluation.typed_json import Share, Size, one_line, read_as
from amber_jax.files import parse_json, write_json
from amber_jax.search.similarities import EXACT
from amber_jax.tasks import (
    BOTH,
    DIRECTIONS,
    PAIRS,
    RETRIEVAL,
    TAGS,
    TASKS,
    TRANSLATED,
    WORD_ALIGNMENT,
)

Scores = dict[str, dict[str, Share]]  # language -> metric or baseline -> share
Baselines = dict[str, dict[str, dict[str, Share]]]  # metric -> baseline -> language

CHANCE = "chance"

# Keys of files of earlier versions, and what they are called now.
_ALIASES = {
    "candidates": "sizes",
    "examples": "sizes",
    "neighbours": "neighbors",
    "centred": "centered",
    "symmetrisation": "symmetrization",
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """One evaluation of one model."""

    task: str
    name: str  # of the evaluation set
    model: str  # its label
    checkpoint: str
    step: int
    seed: int | None = None  # of fine-tuning
    scores: Scores
    sizes: dict[str, Size]  # language -> examples; in retrieval, candidates
    baselines: Scores = field(default_factory=dict)  # of the headline metric
    untranslated: dict[str, int] = field(default_factory=dict)  # language -> pairs
    # Of the tests: language -> reason -> rows.
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    collapsed: tuple[str, ...] = ()  # languages with one constant prediction

    @property
    def shares(self) -> Scores:
        """All scores, those that others follow from included."""
        return self.scores

    @property
    def average(self) -> dict[str, float]:
        """The mean of every metric over the languages."""
        return average(self.shares)

    @property
    def label(self) -> str:
        """The model, and what was done to it."""
        return self.model

    @property
    def test_set(self) -> tuple[str, ...]:
        """What results must share to be compared, besides the sizes."""
        return self.task, self.name

    @property
    def settings(self) -> dict[str, str]:
        """What else the scores depend on, worded."""
        return {}

    @property
    def details(self) -> dict[str, str]:
        """What is worth telling only, worded."""
        return {}

    @property
    def training_set(self) -> tuple[str, ...]:
        """Number and files of the training examples, worded."""
        return ()

    @property
    def training_remarks(self) -> tuple[str, ...]:
        """What makes the training set another than the benchmark's, in sentences."""
        return ()

    @property
    def layer_curve(self) -> dict[int, float]:
        """Layer -> average share, if several were looked at."""
        return {}

    def baseline_shares(self) -> Baselines:
        """Returns the shares of the models that know little, by metric."""
        return {TASKS[self.task].metric: by_baseline(self.baselines)}


@dataclass(frozen=True)
class Accuracies:
    """Averages over all languages."""

    xx_to_en: Share
    en_to_xx: Share
    both: Share


@dataclass(frozen=True, kw_only=True)
class Retrieval(Result):
    """How often a sentence's nearest neighbor is its translation."""

    layer: int
    pooling: str
    special_tokens: bool  # whether they are pooled too
    prompt: str = ""  # before every sentence, in quotes; none without them
    max_length: int = 0  # tokens; 0: not recorded
    similarity: str
    neighbors: int = 0  # that the similarity looks at
    index: str = EXACT
    centered: bool  # each side's mean vector was subtracted
    pivot: str  # the language on the other side
    layers: dict[int, Accuracies] = field(default_factory=dict)  # if looked at

    @property
    def shares(self) -> Scores:
        """All scores, the mean of both directions included."""
        return {
            language: scores | {BOTH: sum(scores.values()) / max(1, len(scores))}
            for language, scores in self.scores.items()
        }

    @property
    def label(self) -> str:
        """The model, and whether its vectors were centered."""
        return self.model + (" centered" if self.centered else "")

    @property
    def test_set(self) -> tuple[str, ...]:
        """What results must share to be compared, besides the sizes."""
        return *super().test_set, self.pivot

    @property
    def settings(self) -> dict[str, str]:
        """What else the scores depend on, worded."""
        return {
            "layer": str(self.layer),
            "pooling": self.pooling,
            "special tokens": "pooled too" if self.special_tokens else "left out",
            "similarity": self.similarity,
            **({"prompt": self.prompt} if self.prompt else {}),
            **({"neighbors": str(self.neighbors)} if self.neighbors else {}),
            **({"index": self.index} if self.index != EXACT else {}),
        }

    @property
    def layer_curve(self) -> dict[int, float]:
        """Layer -> average share of both directions."""
        return {layer: self.layers[layer].both for layer in sorted(self.layers)}

    def baseline_shares(self) -> Baselines:
        """Returns what guessing among the candidates earns, in every metric."""
        guessing = {language: Share(1 / size) for language, size in self.sizes.items()}
        return dict.fromkeys((BOTH, *DIRECTIONS), {CHANCE: guessing})


@dataclass(frozen=True, kw_only=True)
class WordAlignment(Result):
    """A model's links against gold links."""

    baselines: Scores = field()  # required here
    method: str
    layer: int
    symmetrization: str
    threshold: float
    level: str = "word"
    similarity: str = "dot"
    center: bool = False
    context: float = 0.0
    prompt: str = ""
    dev_aer: dict[int, Share] = field(default_factory=dict)  # if it chose the layer

    @property
    def settings(self) -> dict[str, str]:
        """What else the scores depend on, worded; what is unset is left out."""
        curve = (f"{n}: {100 * aer:.1f}" for n, aer in sorted(self.dev_aer.items()))
        worded = {
            "method": self.method,
            "similarity": "" if self.similarity == "dot" else self.similarity,
            "vectors": "centered" if self.center else "",
            "context": f"{self.context:g}" if self.context else "",
            "prompt": repr(self.prompt) if self.prompt else "",
            "layer": f"{self.layer}{', chosen on dev' if self.dev_aer else ''}",
            "symmetrization": self.symmetrization,
            "of": "pieces" if self.level == "piece" else "",
            "threshold": f"{self.threshold:g}",
            "AER on dev by layer": ", ".join(curve),
        }
        return {name: words for name, words in worded.items() if words}


@dataclass(frozen=True)
class Training:
    """What a model was fine-tuned on."""

    files: tuple[str, ...]
    examples: int
    stand_in: str  # what the training set stands in for, one sentence
    first_only: int = 0  # examples, if only the first of the training set were used


@dataclass(frozen=True)
class Selection:
    """By what the step was chosen, on English dev."""

    metric: str
    score: Share
    step: int


@dataclass(frozen=True, kw_only=True)
class FineTuned(Result):
    """A fine-tuned model's predictions against gold labels."""

    seed: int = field()  # required here, as are the next two
    baselines: Scores = field()
    collapsed: tuple[str, ...] = field()
    train: Training
    selection: Selection
    metric: str  # the headline's, which the baselines have
    baseline_accuracy: Scores = field(default_factory=dict)

    @property
    def details(self) -> dict[str, str]:
        """What is worth telling only, worded."""
        chosen = self.selection
        return {
            "training examples": self.training_set[0],
            "training files": self.training_set[1],
            "selected by": f"{chosen.metric} {100 * chosen.score:.1f} "
            f"at step {chosen.step}",
        }

    @property
    def training_set(self) -> tuple[str, ...]:
        """Number and files of the training examples, worded."""
        return f"{self.train.examples:,}", ", ".join(self.train.files)

    @property
    def training_remarks(self) -> tuple[str, ...]:
        """What makes the training set another than the benchmark's, in sentences."""
        stand_in, first_only = self.train.stand_in.rstrip("."), self.train.first_only
        return (
            *([f"stand-in training set, {stand_in}"] if stand_in else []),
            *(
                [f"trained on the first {first_only:,} training examples only"]
                if first_only
                else []
            ),
        )

    def baseline_shares(self) -> Baselines:
        """Returns the shares of the models that know little, by metric."""
        by_metric = {"accuracy": self.baseline_accuracy, self.metric: self.baselines}
        return {name: by_baseline(shares) for name, shares in by_metric.items()}


_CLASSES: dict[str, type[Result]] = {  # by kind of task
    TAGS: FineTuned,
    PAIRS: FineTuned,
    RETRIEVAL: Retrieval,
    WORD_ALIGNMENT: WordAlignment,
}


def average(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Returns the mean over the languages of every metric that all of them have."""
    first = next(iter(scores.values()))
    return {
        metric: sum(by_metric[metric] for by_metric in scores.values()) / len(scores)
        for metric in first
        if all(metric in by_metric for by_metric in scores.values())
    }


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Writes a results.json, whole or not at all; raises as `files.new_file`."""
    content = [dataclasses.asdict(x) | {"average": x.average} for x in results]
    write_json(path, {"results": content})


def read_results(path: Path) -> list[Result]:
    """Returns the evaluations in a results.json, of this version or an earlier one.

    Raises:
        UserError: if the file is missing, is not JSON, or lacks something.
    """
    try:
        results = parse_json(path.read_bytes())["results"]
        if not results:
            raise ValueError("it holds no results")
        return [_read_result(result) for result in results]
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); --results takes a "
            "results.json that amber evaluate or amber finetune wrote"
        ) from error
    except KeyError as error:
        raise UserError(
            f"{path} has no {error}; write it again with the command that made it"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is not a results.json ({one_line(str(error))}); "
            "write it again with the command that made it"
        ) from error


def _read_result(content: Mapping[str, Any]) -> Result:
    task = read_as(str, content["task"], "task")
    if task not in TASKS:
        raise ValueError(f"its task is {task!r}, wanted one of {', '.join(TASKS)}")
    headline = TASKS[task].metric
    renamed = {_ALIASES.get(name, name): value for name, value in content.items()}
    result = read_as(_CLASSES[TASKS[task].kind], renamed, task)
    for language, shares in result.shares.items():
        for metric in TASKS[task].metrics:
            if metric not in shares and metric != TRANSLATED:
                raise ValueError(f"{language} has no score {metric!r}")
    if not result.scores:
        raise ValueError("it holds no scores by language")
    if isinstance(result, FineTuned) and result.metric != headline:
        raise ValueError(f"its metric is {result.metric!r}, wanted {headline!r}")
    missing = [language for language in result.scores if language not in result.sizes]
    if missing:
        raise ValueError(f"sizes lacks {', '.join(missing)}")
    sizes = {language: result.sizes[language] for language in result.scores}
    return dataclasses.replace(result, sizes=sizes)
