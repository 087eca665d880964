"""What a checkpoint's run.json tells of how its model was trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amber_jax.convert.bert import SentenceVector
from amber_jax.corpora.records import read_manifest
from amber_jax.errors import UserError


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


def trained_languages(run: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the languages of the corpus, sorted; none if it is no longer there."""
    if "corpus_fingerprint" not in run:
        return ()
    try:
        manifest = read_manifest(Path(run["config"]["corpus"]))
    except UserError:
        return ()
    if manifest["fingerprint"] != run["corpus_fingerprint"]:
        return ()
    streams = manifest["streams"]
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
