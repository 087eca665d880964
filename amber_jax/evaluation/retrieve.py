"""Sentence retrieval, wired: settings and a model in, scores by language out."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from amber_jax.config import retrieval_problems
from amber_jax.datasets.tatoeba import (
    Pairs,
    read_many_way_pairs,
    read_tatoeba,
    read_tfds_tatoeba,
    sorted_english,
)
from amber_jax.datasets.tfds_source import is_tfds
from amber_jax.errors import UserError
from amber_jax.evaluation import xtreme
from amber_jax.evaluation.results import Accuracies, Retrieval, Scores
from amber_jax.inference.embedding import (
    Embedder,
    Pooling,
    build_embedder,
    embed_sentences,
)
from amber_jax.inference.loading import LoadedModel
from amber_jax.model.encoder import EncoderConfig
from amber_jax.search import faiss_index, retrieval
from amber_jax.search.similarities import EXACT, SIMILARITIES
from amber_jax.tasks import BOTH, RETRIEVAL, TASKS
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.training.workdir import PREDICTIONS
from amber_jax.types import Params


class Retrieved(NamedTuple):
    """What an evaluation found, in one pass over its sentences."""

    found: dict[str, retrieval.Found]  # by language, from the evaluation's layer
    layers: dict[int, dict[str, float]]  # averages of every layer that was looked at


@dataclasses.dataclass(frozen=True)
class RetrievalEvaluation:
    """Sentence retrieval between each language and a pivot, ready to run."""

    name: str
    pivot: str
    pairs: Pairs
    pooling: Pooling  # its layer is a number, never -1
    layers: tuple[int, ...]  # whose vectors the embedder gives; more for a curve
    search: retrieval.Search
    max_length: int
    batch_size: int
    embedder: Embedder
    tokenizer: Tokenizer
    writes_predictions: bool

    def embed(self, params: Params, sentences: Sequence[str]) -> np.ndarray:
        """Returns [M, D] float32 vectors under the encoder parameters `params`."""
        vectors = self._embed_layers(params, sentences)
        return vectors[:, self.layers.index(self.pooling.layer)]

    def run(self, params: Params) -> Retrieved:
        """Returns what is nearest to what under the encoder parameters `params`."""
        embed = functools.partial(self._embed_layers, params)
        by_layer: dict[int, dict[str, retrieval.Found]]
        by_layer = {layer: {} for layer in self.layers}
        for language, xx, en in retrieval.embed_pairs(self.pairs, embed):
            for place, layer in enumerate(self.layers):
                by_layer[layer][language] = retrieval.find_translations(
                    xx[:, place], en[:, place], self.search
                )
        return Retrieved(
            by_layer[self.pooling.layer],
            {
                layer: retrieval.average(_accuracies(found))
                for layer, found in by_layer.items()
            },
        )

    def score(self, params: Params) -> Scores:
        """Returns the accuracies of the encoder parameters `params`, in [0, 1]."""
        return _accuracies(self.run(params).found)

    def flat(self, scores: Scores) -> dict[str, float]:
        """Returns `scores` as one record: `de/de_to_en`, `de/en_to_de`, `average`."""
        record = {}
        for language, score in scores.items():
            record[f"{language}/{language}_to_{self.pivot}"] = score["xx_to_en"]
            record[f"{language}/{self.pivot}_to_{language}"] = score["en_to_xx"]
        return record | {"average": retrieval.average(scores)[BOTH]}

    def write_predictions(self, folder: Path, retrieved: Retrieved) -> None:
        """Writes `folder`/tatoeba/test-LANGUAGE.tsv, in XTREME's form.

        One line for every English sentence in XTREME's order: the row of the nearest
        sentence of the language, from 0.

        Raises:
            UserError: a file cannot be written.
        """
        for language, found in retrieved.found.items():
            order = sorted_english(self.pairs[language][1])
            answers = found.tgt_to_src[order].tolist()
            xtreme.write_predictions(folder, TASKS[RETRIEVAL], language, answers)

    def _embed_layers(self, params: Params, sentences: Sequence[str]) -> np.ndarray:
        """Returns [M, len(self.layers), D] float32."""
        vectors = embed_sentences(
            self.embedder,
            params,
            self.tokenizer,
            sentences,
            max_length=self.max_length,
            batch_size=self.batch_size,
        )
        return vectors if len(self.layers) > 1 else vectors[:, None]


def _accuracies(found: Mapping[str, retrieval.Found]) -> Scores:
    return {language: retrieval.accuracy(one) for language, one in found.items()}


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
    if one.index != EXACT:
        faiss_index.library()  # whether it is there is known before encoding
    layer = encoder.num_layers if one.layer == -1 else one.layer
    pooling = Pooling(layer, one.pooling, one.special_tokens)
    return RetrievalEvaluation(
        name=_data_set(one),
        pivot=one.pivot,
        pairs=_read_pairs(one),
        pooling=pooling,
        layers=tuple(range(encoder.num_layers + 1)) if one.layer_curve else (layer,),
        search=retrieval.Search(
            one.similarity,
            one.neighbours or SIMILARITIES[one.similarity].neighbors,
            one.index,
            one.centre,
        ),
        max_length=one.max_length,
        batch_size=one.batch_size,
        embedder=build_embedder(encoder, pooling, every_layer=one.layer_curve),
        tokenizer=tokenizer,
        writes_predictions=one.predictions,
    )


def _data_set(one: ConfigDict) -> str:
    """Returns the evaluation's name; no table of other sentences is called Tatoeba."""
    path = Path(one.path)
    is_other = one.name.startswith("tatoeba") and path.is_file()
    return path.name.partition(".")[0] if is_other else one.name


def _read_pairs(one: ConfigDict) -> Pairs:
    languages = tuple(one.languages) or None
    if is_tfds(one.path):
        if languages is None:
            raise UserError(
                f"evaluation {one.name}: languages is empty; {one.path} does not say "
                "which there are, set them"
            )
        pairs = read_tfds_tatoeba(one.path, languages)
    elif not Path(one.path).exists():
        raise UserError(
            f"evaluation {one.name}: {one.path} does not exist; wanted a Tatoeba v1 "
            "folder or a many-way .tsv file"
        )
    elif Path(one.path).is_dir():
        pairs = read_tatoeba(Path(one.path), languages)
    else:
        pairs = read_many_way_pairs(
            Path(one.path), pivot=one.pivot, languages=languages
        )
    limit = one.max_candidates or None
    return {name: (xx[:limit], en[:limit]) for name, (xx, en) in pairs.items()}


def retrieval_result(
    config: ConfigDict,
    model: LoadedModel,
    evaluation: RetrievalEvaluation,
    output: Path,
) -> Retrieval:
    """Runs an evaluation and returns its result.

    Args:
        config: as `configs/tatoeba.py` makes it.
        model: whose encoder embeds the sentences.
        evaluation: one of `config.retrievals`, built.
        output: folder for XTREME's predictions, if they are wanted.

    Raises:
        UserError: a file cannot be written, or a vector is not finite.
    """
    retrieved = evaluation.run(model.params["encoder"])
    if evaluation.writes_predictions:
        evaluation.write_predictions(output / PREDICTIONS, retrieved)
    pooling, search = evaluation.pooling, evaluation.search
    return Retrieval(
        task=RETRIEVAL,
        name=evaluation.name,
        model=config.label or str(model.checkpoint.path),
        checkpoint=str(model.checkpoint.path),
        step=0 if config.untrained else model.checkpoint.step,
        scores=_accuracies(retrieved.found),
        sizes={name: len(xx) for name, (xx, _) in evaluation.pairs.items()},
        layer=pooling.layer,
        pooling=pooling.kind,
        special_tokens=pooling.special_tokens,
        max_length=evaluation.max_length,
        similarity=search.similarity,
        neighbors=search.neighbours,
        index=search.index,
        centered=search.centred,
        pivot=evaluation.pivot,
        layers={
            layer: Accuracies(**averages)
            for layer, averages in retrieved.layers.items()
            if len(retrieved.layers) > 1
        },
    )
