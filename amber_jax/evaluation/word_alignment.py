"""Word alignment, scored: a model's links against gold alignments."""

import re
import statistics
from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from amber_jax.config import word_alignment_problems
from amber_jax.datasets.examples import AlignedPair
from amber_jax.datasets.word_alignment_files import read_pharaoh, read_xl_wa
from amber_jax.errors import UserError
from amber_jax.evaluation.results import WordAlignment
from amber_jax.evaluation.scores import alignment_scores
from amber_jax.inference.alignment import aligning_params
from amber_jax.inference.arguments import prompt_text
from amber_jax.inference.loading import LoadedModel
from amber_jax.inference.trained import encoding_defaults
from amber_jax.inference.word_links import (
    Alignment,
    build_layer_word_aligner,
    build_word_aligner,
    diagonal_links,
)
from amber_jax.ranges import refuse
from amber_jax.storage import location
from amber_jax.types import Params

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
    gold = _read_gold(config, config.test, config.gold)
    options = Alignment(*(config[name] for name in Alignment._fields))
    encoding = encoding_defaults(model.checkpoint.run)
    options = options._replace(prompt=prompt_text(encoding, options.prompt))
    params = aligning_params(model.params)
    dev_aer = _dev_aer(config, model, params, options) if config.dev else {}
    if dev_aer:
        options = options._replace(layer=min(dev_aer, key=dev_aer.__getitem__))
    options = options.numbered(model.config.num_layers)
    align = build_word_aligner(model.config, model.tokenizer, options)
    scores, baselines = {}, {}
    for language, pairs in gold.items():
        aligned = align(params, [(pair.src, pair.tgt) for pair in pairs])
        scores[language] = alignment_scores(pairs, aligned.links)
        diagonal = [diagonal_links(pair.src, pair.tgt) for pair in pairs]
        baselines[language] = {"diagonal": alignment_scores(pairs, diagonal)["aer"]}
        for sentence in aligned.warnings(model.config.usable_positions):
            note(f"{language}: {sentence}")
    return WordAlignment(
        task=config.task,
        name=config.name or location(config.data).resolve().name,
        model=config.label or str(model.checkpoint.path),
        checkpoint=str(model.checkpoint.path),
        step=0 if config.untrained else model.checkpoint.step,
        scores=scores,
        sizes={language: len(pairs) for language, pairs in gold.items()},
        baselines=baselines,
        dev_aer=dev_aer,
        **options._asdict(),
    )


def _dev_aer(
    config: ConfigDict, model: LoadedModel, params: Params, options: Alignment
) -> dict[int, float]:
    """Returns the AER of each layer on dev gold, the mean over the languages."""
    align = build_layer_word_aligner(model.config, model.tokenizer, options)
    layers: dict[int, list[float]] = {}
    for pairs in _read_gold(config, config.dev, config.dev_gold).values():
        by_layer = align(params, [(pair.src, pair.tgt) for pair in pairs])
        for layer, links in enumerate(by_layer):
            aer = alignment_scores(pairs, links)["aer"]
            layers.setdefault(layer, []).append(aer)
    return {layer: statistics.fmean(rates) for layer, rates in layers.items()}


def _read_gold(
    config: ConfigDict, texts: str, links: str
) -> dict[str, list[AlignedPair]]:
    """Returns the aligned pairs of each language of files at two patterns."""
    folder = location(config.data)
    languages = tuple(config.languages) or _languages_at(folder, texts)
    if not languages:
        raise UserError(
            f"{folder} has no file {texts}; set --config.data to the folder "
            "of the gold alignments, and --config.test to their place in it"
        )

    def read(language: str) -> list[AlignedPair]:
        text, gold = (
            folder / pattern.replace("{language}", language)
            for pattern in (texts, links)
        )
        if links:
            return read_pharaoh(text, gold, first_index=config.first_index)
        return read_xl_wa(text, first_index=config.first_index)

    return {language: read(language) for language in languages}


def _languages_at(folder: Path, pattern: str) -> tuple[str, ...]:
    before, after = map(re.escape, pattern.split("{language}", 1))
    # A second {language} of the pattern stands for the same one.
    after = after.replace(re.escape("{language}"), "(?P=language)")
    wanted = re.compile(f"{before}(?P<language>[^/]+){after}")
    files = folder.glob(pattern.replace("{language}", "*"))
    names = (wanted.fullmatch(file.relative_to(folder).as_posix()) for file in files)
    return tuple(sorted(name["language"] for name in names if name))
