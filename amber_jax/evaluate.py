"""Evaluation, wired: a checkpoint or a run's parameters in, scores by language out."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from amber_jax.config import retrieval_problems
from amber_jax.errors import UserError
from amber_jax.loading import LoadedModel, load_model
from amber_jax.model.encoder import EncoderConfig
from amber_jax.tasks import retrieval
from amber_jax.tasks.embedding import (
    Embedder,
    Pooling,
    build_embedder,
    embed_sentences,
)
from amber_jax.tasks.tatoeba import Pairs, read_many_way_pairs, read_tatoeba
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.types import Params

Scores = dict[str, dict[str, float]]
RESULTS = "results.json"


@dataclasses.dataclass(frozen=True)
class RetrievalEvaluation:
    """Sentence retrieval between each language and a pivot, ready to run."""

    name: str
    pivot: str
    pairs: Pairs
    pooling: Pooling
    centred: bool
    max_length: int
    batch_size: int
    embedder: Embedder
    tokenizer: Tokenizer

    def embed(self, params: Params, sentences: list[str]) -> np.ndarray:
        """Returns [M, D] float32 vectors under the encoder parameters `params`."""
        return embed_sentences(
            self.embedder,
            params,
            self.tokenizer,
            sentences,
            max_length=self.max_length,
            batch_size=self.batch_size,
        )

    def score(self, params: Params) -> Scores:
        """Returns the accuracies of the encoder parameters `params`, in [0, 1]."""
        embed = functools.partial(self.embed, params)
        return retrieval.score_languages(self.pairs, embed, centred=self.centred)

    def flat(self, scores: Scores) -> dict[str, float]:
        """Returns `scores` as one record: `de/de_to_en`, `de/en_to_de`, `average`."""
        record = {}
        for language, score in scores.items():
            record[f"{language}/{language}_to_{self.pivot}"] = score["xx_to_en"]
            record[f"{language}/{self.pivot}_to_{language}"] = score["en_to_xx"]
        return record | {"average": retrieval.average(scores)["both"]}


def build_retrieval(
    one: ConfigDict, encoder: EncoderConfig, tokenizer: Tokenizer
) -> RetrievalEvaluation:
    """Returns the evaluation that `config.retrieval()` settings describe.

    Raises:
        UserError: a setting is wrong or the sentences cannot be read.
    """
    problems = list(retrieval_problems(one, encoder.num_layers))
    if one.max_length > encoder.max_positions:
        problems.append(
            f"evaluation {one.name}: max_length is {one.max_length}, but the model "
            f"has {encoder.max_positions} positions"
        )
    if problems:
        raise UserError("; ".join(problems))
    pooling = Pooling(one.layer, one.pooling, one.special_tokens)
    return RetrievalEvaluation(
        name=one.name,
        pivot=one.pivot,
        pairs=_read_pairs(one),
        pooling=pooling,
        centred=one.centre,
        max_length=one.max_length,
        batch_size=one.batch_size,
        embedder=build_embedder(encoder, pooling),
        tokenizer=tokenizer,
    )


def _read_pairs(one: ConfigDict) -> Pairs:
    path, languages = Path(one.path), tuple(one.languages) or None
    if not path.exists():
        raise UserError(
            f"evaluation {one.name}: {path} does not exist; wanted a Tatoeba v1 folder "
            "or a many-way .tsv file"
        )
    if path.is_dir():
        pairs = read_tatoeba(path, languages)
    else:
        pairs = read_many_way_pairs(path, pivot=one.pivot, languages=languages)
    limit = one.max_candidates or None
    return {name: (xx[:limit], en[:limit]) for name, (xx, en) in pairs.items()}


def evaluate(
    config: ConfigDict,
    checkpoint: Path,
    output: Path,
    *,
    note: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Returns what it writes to `output`/results.json.

    Args:
        config: as `configs/tatoeba.py` makes it.
        checkpoint: a run's workdir or one of its checkpoint folders.
        output: folder for results.json.
        note: called with sentences worth telling.

    Raises:
        UserError: the checkpoint, a setting or the sentences cannot be used.
    """
    model = load_model(checkpoint, untrained=config.untrained, note=note)
    evaluation = build_retrieval(config.retrieval, model.config, model.tokenizer)
    scores = evaluation.score(model.params["encoder"])
    results = _results(config, model, evaluation, scores)
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, ensure_ascii=False, indent=1)
    (output / RESULTS).write_text(text + "\n", "utf-8")
    return results


def _results(
    config: ConfigDict,
    model: LoadedModel,
    evaluation: RetrievalEvaluation,
    scores: Scores,
) -> dict[str, Any]:
    pooling = evaluation.pooling
    layer = model.config.num_layers if pooling.layer == -1 else pooling.layer
    return {
        "task": "retrieval",
        "name": evaluation.name,
        "model": config.label or str(model.checkpoint.path),
        "checkpoint": str(model.checkpoint.path),
        "step": 0 if config.untrained else model.checkpoint.step,
        "layer": layer,
        "pooling": pooling.kind,
        "special_tokens": pooling.special_tokens,
        "similarity": "cosine",
        "centred": evaluation.centred,
        "pivot": evaluation.pivot,
        "candidates": {name: len(xx) for name, (xx, _) in evaluation.pairs.items()},
        "scores": scores,
        "average": retrieval.average(scores),
    }


def as_table(results: Mapping[str, Any]) -> str:
    """Returns the scores of a results.json as lines of text, in percent."""
    how = (
        f"layer {results['layer']}, {results['pooling']} pooling "
        f"{'with' if results['special_tokens'] else 'without'} special tokens, "
        f"{results['similarity']}{', centred' if results['centred'] else ''}"
    )
    pivot = results["pivot"]
    lines = [
        f"{results['name']}: {results['model']}, step {results['step']}; {how}",
        f"{'language':<10}{'candidates':>12}{f'xx -> {pivot}':>12}"
        f"{f'{pivot} -> xx':>12}",
    ]
    for language, score in results["scores"].items():
        lines.append(
            f"{language:<10}{results['candidates'][language]:>12,}"
            f"{100 * score['xx_to_en']:>11.1f}%{100 * score['en_to_xx']:>11.1f}%"
        )
    mean = results["average"]
    lines.append(
        f"{'average':<10}{'':>12}{100 * mean['xx_to_en']:>11.1f}%"
        f"{100 * mean['en_to_xx']:>11.1f}%"
    )
    return "\n".join(lines)
