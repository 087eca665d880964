"""What a checkpoint's run.json tells of how its model was trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amber_jax.config.evaluation import POOLINGS, layer_problems
from amber_jax.convert.bert import SentenceVector
from amber_jax.corpora.records import read_manifest
from amber_jax.errors import UserError
from amber_jax.inference.embedding import Pooling
from amber_jax.ranges import Choice, problems, refuse


def trained_vector(run: Mapping[str, Any]) -> SentenceVector:
    """Returns how sentences' vectors were made in training.

    For a model from elsewhere it is how they were made there, and without the
    sentence-alignment loss the mean of the words.
    """
    if "sentence_vector" in run:
        return SentenceVector(**run["sentence_vector"])
    settings = run["config"]
    if "sentence_alignment" not in settings:  # of a task
        return SentenceVector("mean", special_tokens=False)
    special_tokens = settings["sentence_alignment"]["special_tokens"]
    return SentenceVector("mean", bool(special_tokens))


def trained_pooling(run: Mapping[str, Any], num_layers: int) -> Pooling:
    """Returns the same with its layer, which is the last."""
    vector = trained_vector(run)
    return Pooling(num_layers, vector.pooling, vector.special_tokens)


def changed_pooling(
    trained: Pooling,
    *,
    layer: int | None,
    kind: str | None,
    special_tokens: bool | None,
    num_layers: int,
) -> Pooling:
    """Returns `trained` with what is not None in its place; -1 is the last layer.

    Raises:
        UserError: the model has no such layer, or there is no such pooling.
    """
    if layer is not None:
        refuse("vectors", layer_problems(layer, num_layers))
    if kind is not None:
        refuse("vectors", problems(kind, Choice(POOLINGS), "pooling"))
    return Pooling(
        num_layers if layer in (None, -1) else layer,
        trained.kind if kind is None else kind,
        trained.special_tokens if special_tokens is None else special_tokens,
    )


def trained_streams(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the streams in the corpus's manifest; {} if it is no longer there."""
    if "corpus_fingerprint" not in run:
        return {}
    try:
        manifest = read_manifest(Path(run["config"]["corpus"]))
    except UserError:
        return {}
    same = manifest["fingerprint"] == run["corpus_fingerprint"]
    return manifest["streams"] if same else {}


def trained_languages(run: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the languages of the corpus, sorted; none if it is no longer there."""
    streams = trained_streams(run)
    if not streams:
        return ()
    alone = set(streams["mono"])
    # A code may have hyphens itself: a pair of one is told by its other language.
    halves = {half for name in streams["pair"] for half in _halves(name, alone)}
    return tuple(sorted(alone | halves))


def _halves(pair: str, known: set[str]) -> tuple[str, ...]:
    parts = pair.split("-")
    splits = [
        ("-".join(parts[:place]), "-".join(parts[place:]))
        for place in range(1, len(parts))
    ]
    if len(splits) == 1:
        return splits[0]
    return max(splits, key=lambda split: len(known.intersection(split)))
