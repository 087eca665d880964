"""Word alignment, scored: a model's links against gold alignments."""

import re
from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from amber_jax.config import word_alignment_problems
from amber_jax.datasets.examples import AlignedPair
from amber_jax.datasets.word_alignment_files import read_pharaoh, read_xl_wa
from amber_jax.errors import UserError
from amber_jax.evaluation.results import WordAlignment
from amber_jax.evaluation.scores import alignment_scores
from amber_jax.inference.loading import LoadedModel
from amber_jax.inference.word_links import (
    Alignment,
    build_word_aligner,
    diagonal_links,
)
from amber_jax.ranges import refuse

Note = Callable[[str], None]


def word_alignment_result(
    config: ConfigDict, model: LoadedModel, *, note: Note
) -> WordAlignment:
    """The scores of a model against gold alignments.

    Args:
        config: as `config.word_alignment_evaluation` makes it.
        model: a loaded model.
        note: called with sentences worth telling.

    Raises:
        UserError: a setting is wrong, or the gold files cannot be read.
    """
    refuse("word alignment", word_alignment_problems(config, model.config.num_layers))
    gold = _read_gold(config)
    options = Alignment(*(config[name] for name in Alignment._fields))
    align = build_word_aligner(model.config, model.tokenizer, options)
    scores, baselines = {}, {}
    for language, pairs in gold.items():
        aligned = align(model.params, [(pair.src, pair.tgt) for pair in pairs])
        scores[language] = alignment_scores(pairs, aligned.links)
        diagonal = [diagonal_links(pair.src, pair.tgt) for pair in pairs]
        baselines[language] = {"diagonal": alignment_scores(pairs, diagonal)["aer"]}
        for sentence in aligned.warnings(model.config.usable_positions):
            note(f"{language}: {sentence}")
    return WordAlignment(
        task=config.task,
        name=config.name or Path(config.data).resolve().name,
        model=config.label or str(model.checkpoint.path),
        checkpoint=str(model.checkpoint.path),
        step=0 if config.untrained else model.checkpoint.step,
        scores=scores,
        sizes={language: len(pairs) for language, pairs in gold.items()},
        baselines=baselines,
        method=options.method,
        layer=model.config.num_layers if options.layer == -1 else options.layer,
        symmetrization=options.symmetrization,
        threshold=options.threshold,
    )


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
