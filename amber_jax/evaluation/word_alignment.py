"""Word alignment, judged: a model's links against gold alignments."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from amber_jax.config import word_alignment_problems
from amber_jax.datasets.examples import AlignedPair
from amber_jax.datasets.word_alignment_files import read_pharaoh, read_xl_wa
from amber_jax.errors import UserError
from amber_jax.evaluation.scores import alignment_scores
from amber_jax.inference.loading import LoadedModel
from amber_jax.inference.word_links import (
    Alignment,
    build_word_aligner,
    diagonal_links,
    oddities,
)
from amber_jax.ranges import refuse

METRICS = ("precision", "recall", "f1", "aer")

Note = Callable[[str], None]


def word_alignment_result(
    config: ConfigDict, model: LoadedModel, *, note: Note
) -> dict[str, Any]:
    """Returns the scores of a model against gold alignments, as results.json has them.

    Args:
        config: as `config.word_alignment_evaluation` makes it.
        model: a loaded model.
        note: called with sentences worth telling.

    Raises:
        UserError: a setting is wrong, or the gold files cannot be read.
    """
    refuse("word alignment", word_alignment_problems(config, model.config.num_layers))
    gold = _read_gold(config)
    how = Alignment(*(config[name] for name in Alignment._fields))
    align = build_word_aligner(model.config, model.tokenizer, how)
    scores, baselines = {}, {}
    for language, pairs in gold.items():
        found = align(model.params, [(pair.src, pair.tgt) for pair in pairs])
        scores[language] = alignment_scores(pairs, found.links)
        guess = [diagonal_links(pair.src, pair.tgt) for pair in pairs]
        baselines[language] = {"diagonal": alignment_scores(pairs, guess)["aer"]}
        for sentence in oddities(found.cut, found.unspaced, model.config.max_positions):
            note(f"{language}: {sentence}")
    return {
        "task": config.task,
        "name": config.name or Path(config.data).resolve().name,
        "model": config.label or str(model.checkpoint.path),
        "checkpoint": str(model.checkpoint.path),
        "step": 0 if config.untrained else model.checkpoint.step,
        **how._asdict(),
        "layer": model.config.num_layers if how.layer == -1 else how.layer,
        "examples": {language: len(pairs) for language, pairs in gold.items()},
        "scores": scores,
        "average": {
            metric: _mean([of[metric] for of in scores.values()]) for metric in METRICS
        },
        "baselines": baselines,
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _read_gold(config: ConfigDict) -> dict[str, list[AlignedPair]]:
    """Returns the aligned pairs of each language."""
    folder = Path(config.data)
    languages = tuple(config.languages) or _languages_at(folder, config.test)
    if not languages:
        raise UserError(
            f"{folder} has no file {config.test}; set --config.data to the folder "
            "of the gold alignments, and --config.test to their place in it"
        )
    return {language: _read_language(config, language) for language in languages}


def _read_language(config: ConfigDict, language: str) -> list[AlignedPair]:
    text, gold = (
        Path(config.data) / pattern.replace("{language}", language)
        for pattern in (config.test, config.gold)
    )
    if config.gold:
        return read_pharaoh(text, gold, first_index=config.first_index)
    return read_xl_wa(text, first_index=config.first_index)


def _languages_at(folder: Path, pattern: str) -> tuple[str, ...]:
    before, after = map(re.escape, pattern.split("{language}", 1))
    # A second {language} of the pattern stands for the same one.
    after = after.replace(re.escape("{language}"), "(?P=language)")
    wanted = re.compile(f"{before}(?P<language>[^/]+){after}")
    files = folder.glob(pattern.replace("{language}", "*"))
    names = (wanted.fullmatch(file.relative_to(folder).as_posix()) for file in files)
    return tuple(sorted(name["language"] for name in names if name))


def as_table(result: Mapping[str, Any]) -> str:
    """Returns the scores of a word-alignment result as lines of text, in percent."""
    layer = f"of layer {result['layer']}"
    lines = [
        f"{result['name']}: {result['model']}, step {result['step']}; "
        f"{result['method']} {layer}, {result['symmetrisation']}, "
        f"threshold {result['threshold']:g}",
        f"{'language':<10}{'pairs':>8}"
        + "".join(f"{metric:>11}" for metric in METRICS)
        + f"{'diagonal aer':>15}",
    ]
    rows = {
        language: (
            f"{result['examples'][language]:,}",
            score,
            result["baselines"][language]["diagonal"],
        )
        for language, score in result["scores"].items()
    }
    diagonal = _mean([one["diagonal"] for one in result["baselines"].values()])
    rows["average"] = ("", result["average"], diagonal)
    for name, (pairs, score, baseline) in rows.items():
        shares = "".join(f"{100 * score[metric]:>10.1f}%" for metric in METRICS)
        lines.append(f"{name:<10}{pairs:>8}{shares}{100 * baseline:>14.1f}%")
    return "\n".join(lines)
