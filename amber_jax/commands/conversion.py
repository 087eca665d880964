"""Conversion, wired: a model of one format in, a folder of another out.

Nothing is written before everything fits; the folder appears whole, by rename.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from amber_jax.config.renamed import migrated
from amber_jax.convert import (
    folders,
    huggingface,
    sentence_transformers,
    tensorflow_bert,
)
from amber_jax.convert.bert import Bert, first_layers, without_heads
from amber_jax.convert.model_card import Facts, Score, Stream, model_card
from amber_jax.convert.names import known_parts
from amber_jax.convert.vocabulary_cut import keep_pieces
from amber_jax.corpora.piece_counts import piece_counts
from amber_jax.corpora.records import open_corpus
from amber_jax.errors import UserError
from amber_jax.evaluation.results import Result, read_results
from amber_jax.files import make_folder, new_folder, write_text
from amber_jax.inference.loading import (
    TOKENIZER_FOLDER,
    foreign_run,
    load_checkpoint,
)
from amber_jax.inference.trained import (
    encoding_defaults,
    trained_languages,
    trained_streams,
    trained_vector,
)
from amber_jax.storage import location
from amber_jax.training.checkpoint import save_params

FORMATS = ("amber", *folders.FORMATS)
_CARD = "README.md"
_KINDS = {"mono": "text", "pair": "translations"}


class Place(NamedTuple):
    """A folder and the format of what is in it."""

    format: str
    path: Path

    def __str__(self) -> str:
        return f"{self.format}:{self.path}"


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What an export may be told besides where it goes."""

    layer: int = -1  # the last one that is exported
    keep_pieces_of: Path | None = None  # a corpus of the model's tokenizer
    min_piece_count: int = 1  # of a kept piece in that corpus
    max_shard_bytes: int = 5 * 10**9
    results: tuple[Path, ...] = ()  # results.json files, for the card
    license: str = ""


def parse_place(text: str, flag: str) -> Place:
    """Returns the place that FORMAT:PATH names.

    Raises:
        UserError: there is no such format, or no path.
    """
    name, _, path = text.partition(":")
    if name not in FORMATS or not path:
        raise UserError(
            f"{flag} is {text!r}; wanted FORMAT:PATH with a format of "
            f"{', '.join(FORMATS)}, as in hf:models/mbert"
        )
    return Place(name, location(path))


def convert(
    source: Place,
    target: Place,
    options: ExportOptions,
    *,
    note: Callable[[str], None] = print,
) -> None:
    """Reads the model at `source` and writes it to `target`.

    Args:
        source: a checkpoint, a run's workdir, or a folder of another format.
        target: a folder that is not there yet, or empty.
        options: of the export.
        note: called with sentences about what did not come along unchanged.

    Raises:
        UserError: the model cannot be read or has no such form; nothing is written.
    """
    _require_room(target.path)
    if target.format == "amber" and (options.results or options.license):
        raise UserError("--results and --license are for a model card; amber has none")
    scores = _scores(options.results)
    bert, run = _read(source, note)
    bert = _cut(first_layers(bert, options.layer), options)
    if target.format == "sentence-transformers":
        bert = without_heads(bert)
    for sentence in bert.notes:
        note(sentence)
    if target.format == "amber":
        _write_checkpoint(target.path, bert, run or foreign_run(bert, str(source)))
    else:
        facts = _facts(source, target, run, scores, options.license)
        _write_folder(target, bert, facts, options)
    count = sum(leaf.size for leaf in jax.tree.leaves(bert.params))
    note(
        f"{source} -> {target}: {', '.join(bert.params)}; {count:,} parameters, "
        f"{bert.config.num_layers} layers of {bert.config.hidden_size}, vocabulary "
        f"{bert.config.vocab_size:,}"
    )


def _cut(bert: Bert, options: ExportOptions) -> Bert:
    """Returns the model with the pieces of a corpus alone, if one is named."""
    if options.keep_pieces_of is None:
        return bert
    corpus = open_corpus(options.keep_pieces_of, verify=True)
    if corpus.tokenizer_fingerprint != bert.tokenizer.fingerprint:
        raise UserError(
            f"{options.keep_pieces_of}: was built with another tokenizer than the "
            "model's; build it with --config.tokenizer set to the model's folder"
        )
    counts = piece_counts(corpus)
    return keep_pieces(bert, counts, min_count=options.min_piece_count)


def _require_room(path: Path) -> None:
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(
            f"{path}: is there already; give --to a folder that is not, so that no "
            "model is overwritten"
        )


def _read(
    source: Place, note: Callable[[str], None]
) -> tuple[Bert, Mapping[str, Any] | None]:
    """Returns the model and, of a checkpoint, its run.json."""
    if source.format != "amber":
        if not source.path.is_dir():
            raise UserError(f"{source}: there is no such folder; check --from")
        return folders.FORMATS[source.format].read(source.path), None
    model = load_checkpoint(source.path, note)
    params = jax.tree.map(np.asarray, model.params)
    known = {part: params[part] for part in params if part in known_parts()}
    bert = Bert(
        model.config,
        known,
        model.tokenizer,
        trained_vector(model.checkpoint.run),
        encoding_defaults(model.checkpoint.run),
        tuple(f"left behind: {part} (of a task)" for part in params.keys() - known),
    )
    return bert, model.checkpoint.run


def _write_checkpoint(path: Path, bert: Bert, run: Mapping[str, Any]) -> None:
    of_model = {
        "encoder": bert.config.recorded(),
        "tokenizer_fingerprint": bert.tokenizer.fingerprint,
        "sentence_vector": bert.sentence_vector._asdict(),
        "encoding": dataclasses.asdict(bert.encoding),
    }
    save_params(
        path,
        bert.params,
        {**run, **of_model},
        write_extras=lambda folder: bert.tokenizer.save(folder / TOKENIZER_FOLDER),
    )


def _write_folder(
    target: Place, bert: Bert, facts: Facts, options: ExportOptions
) -> None:
    make_folder(target.path.parent)
    with new_folder(target.path) as folder:
        _write_format(folder, target.format, bert, facts, options)


def _write_format(
    folder: Path, name: str, bert: Bert, facts: Facts, options: ExportOptions
) -> None:
    limit = options.max_shard_bytes
    if name == "tf1":
        tensorflow_bert.write(folder, bert)
    elif name == "hf":
        huggingface.write(folder, bert, max_shard_bytes=limit)
    else:
        sentence_transformers.write(folder, bert, max_shard_bytes=limit)
    write_text(folder / _CARD, model_card(facts, bert, name))


def _facts(
    source: Place,
    target: Place,
    run: Mapping[str, Any] | None,
    scores: tuple[Score, ...],
    license: str,
) -> Facts:
    config = migrated(run["config"]) if run else {}
    trained = "stages" in config
    languages = trained_languages(run) if trained else ()
    return Facts(
        name=target.path.resolve().name,
        origin=f"{source.format}:{source.path.resolve().name}",
        step=int(run["step"]) if run else 0,
        license=license,
        languages=languages or tuple(sorted({score.language for score in scores})),
        data=_data(run) if trained else (),
        objectives=_objectives(config["stages"]) if trained else (),
        settings=_settings(config) if trained else {},
        scores=scores,
    )


def _data(run: Mapping[str, Any]) -> tuple[Stream, ...]:
    """Returns what the corpus holds, if it is still where it was in training."""
    streams = trained_streams(run)
    return tuple(
        Stream(_KINDS[kind], name, facts["pairs"], facts["real_tokens"])
        for kind in streams
        for name, facts in sorted(streams[kind].items())
    )


def _objectives(stages: list[Mapping[str, Any]]) -> tuple[str, ...]:
    sentences = []
    for stage in stages:
        losses = {
            name.replace("_", " "): value["weight"]
            for name, value in stage.items()
            if isinstance(value, dict) and value["weight"]
        }
        weighed = ", ".join(
            f"{name} (weight {weight:g})" for name, weight in losses.items()
        )
        sentences.append(
            f"Stage {stage['name']}: {stage['num_steps']:,} steps of "
            f"{stage['monolingual_pairs']:,} monolingual and "
            f"{stage['translation_pairs']:,} translation pairs; {weighed}; peak "
            f"learning rate {stage['peak_learning_rate']:g} after "
            f"{stage['warmup_steps']:,} steps."
        )
    return tuple(sentences)


def _settings(config: Mapping[str, Any]) -> dict[str, str]:
    groups = ("optimizer", "sentence_alignment", "word_alignment")
    settings = {"seed": config["seed"], "masking rate": config["masking_rate"]}
    for group in groups:
        for name, value in config[group].items():
            settings[f"{group}.{name}".replace("_", " ")] = value
    return {name: str(value) for name, value in settings.items()}


def _scores(paths: tuple[Path, ...]) -> tuple[Score, ...]:
    """Returns the scores of results.json files, all languages and metrics."""
    return tuple(
        Score(
            result.task,
            result.name,
            _how(result),
            language,
            metric,
            share,
        )
        for path in paths
        for result in read_results(path)
        for language, metrics in result.shares.items()
        for metric, share in metrics.items()
    )


def _how(result: Result) -> str:
    facts = {"model": result.label, **result.settings}
    if result.seed is not None:
        facts["seed"] = str(result.seed)
    words = [f"{name} {value}" for name, value in facts.items()]
    return ", ".join([*words, *result.training_remarks])
