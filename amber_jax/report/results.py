"""Evaluations as results.json holds them, of every task, read and checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amber_jax.errors import UserError
from amber_jax.files import parse_json
from amber_jax.search.similarities import EXACT, SIMILARITIES
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

CHANCE = "chance"

Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Result:
    """One evaluation of one model; every score is a share in [0, 1]."""

    task: str
    name: str  # of the evaluation set
    label: str  # of the model, with " centred" where the vectors were
    checkpoint: str
    step: int
    scores: Scores  # language -> metric -> share
    sizes: dict[str, int]  # language -> examples; in retrieval, candidates
    settings: dict[str, str]  # what else the scores depend on, worded
    baselines: dict[str, Scores]  # metric -> baseline -> language -> share
    details: dict[str, str] = field(default_factory=dict)  # worth telling only
    pivot: str = ""  # retrieval: the language on the other side
    seed: int | None = None
    trained_on: tuple[str, ...] = ()  # number and files of the training examples
    stand_in: str = ""  # what the training set stands in for, one sentence
    first_only: int = 0  # examples, if only the first of the training set were used
    untranslated: dict[str, int] = field(default_factory=dict)  # language -> pairs
    left_out: tuple[str, ...] = ()  # of the tests, one sentence for language and reason
    collapsed: tuple[str, ...] = ()  # languages with one constant prediction
    layers: dict[int, float] = field(default_factory=dict)  # layer -> average share
    layer: int | None = None


def read_results(path: Path) -> list[Result]:
    """Returns the evaluations in a results.json.

    Raises:
        UserError: if the file is missing, is not JSON, or lacks something.
    """
    try:
        content = parse_json(Path(path).read_bytes())
        return [_to_result(one) for one in _not_empty(content["results"])]
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); --results takes a "
            "results.json that amber evaluate or amber finetune wrote"
        ) from error
    except KeyError as error:
        raise UserError(
            f"{path} has no {error}; write it again with the command that made it"
        ) from error
    except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise UserError(
            f"{path} is not a results.json ({one_line(str(error))}); "
            "write it again with the command that made it"
        ) from error


def one_line(text: str) -> str:
    """Returns `text` on one line, without letters that cannot be printed."""
    words = " ".join(text.split())
    return "".join(letter for letter in words if letter.isprintable())


def _not_empty(results: list[Any]) -> list[Any]:
    if not results:
        raise ValueError("it holds no results")
    return results


def _to_result(content: Mapping[str, Any]) -> Result:
    task = _text(content, "task")
    if task not in TASKS:
        raise ValueError(f"its task is {task!r}, wanted one of {', '.join(TASKS)}")
    return _READERS[TASKS[task].kind](content)


def _retrieval(content: Mapping[str, Any]) -> Result:
    scores = {
        language: one | {BOTH: sum(one.values()) / len(DIRECTIONS)}
        for language, one in _scores(content, DIRECTIONS).items()
    }
    sizes = _sizes(content["candidates"], scores)
    guessing = {language: 1 / size for language, size in sizes.items()}
    fields = _fields(content, scores)
    fields["label"] += " centred" if _flag(content, "centred") else ""
    layer = _count(content, "layer")
    pooled = "pooled too" if _flag(content, "special_tokens") else "left out"
    settings = {
        "layer": str(layer),
        "pooling": _text(content, "pooling"),
        "special tokens": pooled,
        "similarity": _text(content, "similarity"),
    }
    similarity = SIMILARITIES.get(settings["similarity"])
    if similarity and similarity.neighbors and "neighbours" in content:
        settings["neighbours"] = str(_count(content, "neighbours", least=1))
    if "index" in content and content["index"] != EXACT:
        settings["index"] = _text(content, "index")
    return Result(
        **fields,
        sizes=sizes,
        settings=settings,
        baselines=dict.fromkeys((BOTH, *DIRECTIONS), {CHANCE: guessing}),
        pivot=_text(content, "pivot"),
        layers=_layers(content),
        layer=layer,
    )


def _layers(content: Mapping[str, Any]) -> dict[int, float]:
    if "layers" not in content:
        return {}
    shares = {
        int(layer): _share(one[BOTH], f"layer {layer}")
        for layer, one in content["layers"].items()
    }
    return dict(sorted(shares.items()))


def _fine_tuned(content: Mapping[str, Any]) -> Result:
    task = TASKS[content["task"]]
    if content["metric"] != task.metric:
        raise ValueError(f"its metric is {content['metric']!r}, wanted {task.metric!r}")
    baselines = {task.metric: _baselines(content["baselines"])}
    if "baseline_accuracy" in content:
        baselines["accuracy"] = _baselines(content["baseline_accuracy"])
    has_translated = all(TRANSLATED in one for one in content["scores"].values())
    metrics = (one for one in task.metrics if one != TRANSLATED or has_translated)
    scores = _scores(content, tuple(metrics))
    train, selection = content["train"], content["selection"]
    chosen = 100 * _share(selection["score"], "selection")
    trained_on = (
        f"{_count(train, 'examples'):,}",
        ", ".join(one_line(str(file)) for file in train["files"]),
    )
    return Result(
        **_fields(content, scores),
        sizes=_sizes(content["examples"], scores),
        settings={},
        details={
            "training examples": trained_on[0],
            "training files": trained_on[1],
            "selected by": f"{_text(selection, 'metric')} {chosen:.1f} "
            f"at step {_count(selection, 'step')}",
        },
        baselines=baselines,
        seed=_count(content, "seed"),
        trained_on=trained_on,
        stand_in=_text(train, "stand_in"),
        first_only=_count(train, "first_only") if "first_only" in train else 0,
        untranslated=_untranslated(content),
        left_out=_left_out(content),
        collapsed=tuple(one_line(str(name)) for name in content["collapsed"]),
    )


def _untranslated(content: Mapping[str, Any]) -> dict[str, int]:
    """Returns how many pairs have no translation, of the languages that have any."""
    found = content.get("untranslated", {})
    counts = {one_line(name): _count(found, name) for name in found}
    return {name: count for name, count in counts.items() if count}


def _left_out(content: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{one_line(name)}: {_count(reasons, reason):,} {one_line(reason)}"
        for name, reasons in content.get("left_out", {}).items()
        for reason in reasons
    )


def _word_alignment(content: Mapping[str, Any]) -> Result:
    scores = _scores(content, TASKS[WORD_ALIGNMENT].metrics)
    settings = {
        "method": _text(content, "method"),
        "layer": str(_count(content, "layer")),
        "symmetrisation": _text(content, "symmetrisation"),
        "threshold": f"{float(content['threshold']):g}",
    }
    return Result(
        **_fields(content, scores),
        sizes=_sizes(content["examples"], scores),
        settings=settings,
        baselines={"aer": _baselines(content["baselines"])},
    )


_READERS: dict[str, Callable[[Mapping[str, Any]], Result]] = {
    TAGS: _fine_tuned,
    PAIRS: _fine_tuned,
    RETRIEVAL: _retrieval,
    WORD_ALIGNMENT: _word_alignment,
}


def _fields(content: Mapping[str, Any], scores: Scores) -> dict[str, Any]:
    return {
        "task": content["task"],
        "name": _text(content, "name"),
        "label": _text(content, "model"),
        "checkpoint": _text(content, "checkpoint"),
        "step": _count(content, "step"),
        "scores": scores,
    }


def _scores(content: Mapping[str, Any], metrics: tuple[str, ...]) -> Scores:
    scores = {
        language: {name: _share(one[name], language) for name in metrics}
        for language, one in content["scores"].items()
    }
    odd = [language for language in scores if one_line(language) != language]
    if odd or not scores:
        raise ValueError(f"wanted scores by language, found {[*scores]}")
    return scores


def _baselines(by_language: Mapping[str, Mapping[str, Any]]) -> Scores:
    """Returns baseline -> language -> share."""
    by_baseline: Scores = {}
    for language, one in by_language.items():
        for name, share in one.items():
            shares = by_baseline.setdefault(one_line(name), {})
            shares[language] = _share(share, f"baseline of {language}")
    return by_baseline


def _sizes(counts: Mapping[str, Any], scores: Scores) -> dict[str, int]:
    return {
        language: _count(counts, language, least=1, what="examples or candidates of ")
        for language in scores
    }


def _share(value: Any, where: str) -> float:
    share = float(value)
    if not 0 <= share <= 1:  # NaN too
        raise ValueError(f"{where}: wanted a share between 0 and 1, found {value!r}")
    return share


def _count(
    content: Mapping[str, Any], key: str, *, least: int = 0, what: str = ""
) -> int:
    value = content[key]
    if not isinstance(value, int) or value < least:
        raise ValueError(
            f"{what}{key}: wanted a whole number from {least} on, found {value!r}"
        )
    return value


def _text(content: Mapping[str, Any], key: str) -> str:
    if not isinstance(content[key], str):
        raise ValueError(f"wanted text as {key}, found {content[key]!r}")
    return one_line(content[key])


def _flag(content: Mapping[str, Any], key: str) -> bool:
    if not isinstance(content[key], bool):
        raise ValueError(f"wanted true or false as {key}, found {content[key]!r}")
    return content[key]
