"""How a model was trained, from its checkpoint's run.json."""

from collections.abc import Mapping
from typing import Any

from amber_jax.corpora.records import read_manifest
from amber_jax.errors import UserError
from amber_jax.model.sentence_vector import EncodingDefaults, SentenceVector
from amber_jax.storage import location


def trained_vector(run: Mapping[str, Any]) -> SentenceVector:
    """How sentences' vectors were made in training, from the last layer.

    For a model from elsewhere it is how they were made there, and without the
    sentence-alignment loss the mean of the words.
    """
    if "sentence_vector" in run:
        return SentenceVector(**run["sentence_vector"])
    settings = run["config"]
    if "sentence_alignment" not in settings:  # of a task
        return SentenceVector()
    special_tokens = settings["sentence_alignment"]["special_tokens"]
    return SentenceVector(special_tokens=bool(special_tokens))


def encoding_defaults(run: Mapping[str, Any]) -> EncodingDefaults:
    """How the model wants its sentences; of models trained here alone, as they are."""
    return EncodingDefaults(**run.get("encoding", {}))


def trained_streams(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """The streams in the corpus's manifest; {} if it is no longer there."""
    if "corpus_fingerprint" not in run:
        return {}
    try:
        manifest = read_manifest(location(run["config"]["corpus"]))
    except UserError:
        return {}
    same = manifest["fingerprint"] == run["corpus_fingerprint"]
    return manifest["streams"] if same else {}


def trained_languages(run: Mapping[str, Any]) -> tuple[str, ...]:
    """The languages of the corpus, sorted; none if it is no longer there."""
    streams = trained_streams(run)
    if not streams:
        return ()
    monolingual = set(streams["mono"])
    # A code may have hyphens itself; the pair's other language shows where it ends.
    paired = {
        language
        for name in streams["pair"]
        for language in _languages_of(name, monolingual)
    }
    return tuple(sorted(monolingual | paired))


def _languages_of(pair: str, known: set[str]) -> tuple[str, ...]:
    parts = pair.split("-")
    splits = [
        ("-".join(parts[:end]), "-".join(parts[end:])) for end in range(1, len(parts))
    ]
    if len(splits) == 1:
        return splits[0]
    return max(splits, key=lambda split: len(known.intersection(split)))
