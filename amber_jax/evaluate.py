"""Evaluation, wired: a checkpoint or a run's parameters in, scores by language out."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from amber_jax.config import retrieval_problems
from amber_jax.errors import UserError
from amber_jax.loading import LoadedModel, init_key, init_params, load_model
from amber_jax.model.encoder import EncoderConfig
from amber_jax.tasks import retrieval
from amber_jax.tasks.alignment import view_pair
from amber_jax.tasks.embedding import (
    Embedder,
    Pooling,
    build_embedder,
    embed_sentences,
)
from amber_jax.tasks.tatoeba import Pairs, read_many_way_pairs, read_tatoeba
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.training.checkpoint import write_json
from amber_jax.types import Params

Scores = dict[str, dict[str, float]]
RESULTS, PROBE = "results.json", "probe.npz"


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
) -> list[dict[str, Any]]:
    """Returns the results, one for each of `config.retrievals`.

    Writes `output`/results.json and, if `config.probe.language` names a language of
    the first retrieval, `output`/probe.npz for the report's pictures.

    Args:
        config: as `configs/tatoeba.py` makes it.
        checkpoint: a run's workdir or one of its checkpoint folders.
        output: folder for the files.
        note: called with sentences worth telling.

    Raises:
        UserError: the checkpoint, a setting or the sentences cannot be used.
    """
    if not config.retrievals:
        raise UserError("retrievals is empty; nothing would be evaluated")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--output {output} cannot be made ({error.strerror}); wanted a folder"
        ) from error
    model = load_model(checkpoint, untrained=config.untrained, note=note)
    evaluations = [
        build_retrieval(one, model.config, model.tokenizer) for one in config.retrievals
    ]
    _check_probe(config.probe.language, evaluations[0])
    results = [_result(config, model, evaluation) for evaluation in evaluations]
    write_json(output / RESULTS, {"results": results})
    if config.probe.language:
        arrays = probe(model, evaluations[0], **config.probe)
        np.savez(output / PROBE, **arrays)
    return results


def _check_probe(language: str, evaluation: RetrievalEvaluation) -> None:
    if language and language not in evaluation.pairs:
        raise UserError(
            f"probe.language is {language!r}, but {evaluation.name} has "
            f"{', '.join(evaluation.pairs)}"
        )


def _result(
    config: ConfigDict, model: LoadedModel, evaluation: RetrievalEvaluation
) -> dict[str, Any]:
    scores = evaluation.score(model.params["encoder"])
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
        "max_length": evaluation.max_length,
        "similarity": "cosine",
        "centred": evaluation.centred,
        "pivot": evaluation.pivot,
        "candidates": {name: len(xx) for name, (xx, _) in evaluation.pairs.items()},
        "scores": scores,
        "average": retrieval.average(scores),
    }


def probe(
    model: LoadedModel,
    evaluation: RetrievalEvaluation,
    *,
    language: str,
    words: int,
    meanings: int,
) -> dict[str, np.ndarray]:
    """Returns the arrays that `amber_jax.report` draws words and sentences from.

    Args:
        model: the trained model; its untrained self is made again from its seed.
        evaluation: whose sentences are shown.
        language: of the sentence pair whose words are shown.
        words: the pair shown is the first whose sides have about this many pieces.
        meanings: how many sentences are shown in all languages.
    """
    xx, en = evaluation.pairs[language]
    encoded = (model.tokenizer.encode_batch(side) for side in (en, xx))
    sizes = [(len(one), len(other)) for one, other in zip(*encoded, strict=True)]
    chosen = min(range(len(sizes)), key=lambda i: sum(abs(n - words) for n in sizes[i]))
    view = view_pair(
        model.params, model.config, model.tokenizer, en[chosen], xx[chosen]
    )
    before = init_params(model.config, init_key(model.checkpoint.run["config"]["seed"]))
    sentences, languages, numbers = _same_meanings(evaluation, meanings)
    return {
        "src_pieces": np.array(view.src_pieces),
        "tgt_pieces": np.array(view.tgt_pieces),
        "src_to_tgt": view.src_to_tgt,
        "tgt_to_src": view.tgt_to_src,
        "similarity": view.similarity,
        "vectors_before": evaluation.embed(before["encoder"], sentences),
        "vectors_after": evaluation.embed(model.params["encoder"], sentences),
        "meaning": np.array(numbers),
        "language": np.array(languages),
    }


def _same_meanings(
    evaluation: RetrievalEvaluation, meanings: int
) -> tuple[list[str], list[str], list[int]]:
    """Returns sentences, languages and meanings, spread over the rows all share."""
    shortest = min(len(xx) for xx, _ in evaluation.pairs.values())
    picked = np.linspace(0, shortest - 1, meanings).astype(int)
    _, pivots = next(iter(evaluation.pairs.values()))
    columns = {name: xx for name, (xx, _) in evaluation.pairs.items()}
    columns[evaluation.pivot] = pivots
    rows = [
        (column[row], name, number)
        for name, column in columns.items()
        for number, row in enumerate(picked)
    ]
    sentences, languages, numbers = zip(*rows, strict=True)
    return list(sentences), list(languages), list(numbers)


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
