"""Sentence retrieval, wired: settings and a model in, scores by language out."""

import dataclasses
import functools
import json
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
from amber_jax.inference.arguments import prompt_text
from amber_jax.inference.devices import on_all_devices
from amber_jax.inference.embedding import (
    Embedder,
    build_embedder,
    embed_sentences,
    parts_to_embed,
)
from amber_jax.inference.loading import LoadedModel
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.sentence_vector import EncodingDefaults, SentenceVector
from amber_jax.search import faiss_index, retrieval
from amber_jax.search.similarities import EXACT, SIMILARITIES
from amber_jax.storage import location
from amber_jax.tasks import BOTH, RETRIEVAL, TASKS
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.training.agreement import done_by_first
from amber_jax.training.workdir import PREDICTIONS
from amber_jax.types import Params


class Retrieved(NamedTuple):
    """The result of an evaluation, from one pass over its sentences."""

    nearest: dict[str, retrieval.NearestRows]  # by language, of the evaluation's layer
    layers: dict[int, dict[str, float]]  # averages of every layer evaluated


@dataclasses.dataclass(frozen=True)
class RetrievalEvaluation:
    """Sentence retrieval between each language and a pivot, ready to run."""

    name: str
    pivot: str
    pairs: Pairs
    prompt: str  # before every sentence
    vector: SentenceVector  # its layer is a number, never -1
    layers: tuple[int, ...]  # whose vectors the embedder gives; more for a curve
    search: retrieval.Search
    max_length: int
    batch_size: int
    embedder: Embedder
    tokenizer: Tokenizer
    writes_predictions: bool

    def embed(self, params: Params, sentences: Sequence[str]) -> np.ndarray:
        """Vectors [M, D] float32 under the model's parameters `params`."""
        vectors = self._embed_layers(parts_to_embed(params), sentences)
        return vectors[:, self.layers.index(self.vector.layer)]

    def run(self, params: Params) -> Retrieved:
        """The nearest sentences under parameters as an embedder takes them."""
        embed = functools.partial(self._embed_layers, params)
        by_layer: dict[int, dict[str, retrieval.NearestRows]]
        by_layer = {layer: {} for layer in self.layers}
        for language, xx, en in retrieval.embed_pairs(self.pairs, embed):
            for index, layer in enumerate(self.layers):
                by_layer[layer][language] = retrieval.find_translations(
                    xx[:, index], en[:, index], self.search
                )
        return Retrieved(
            by_layer[self.vector.layer],
            {
                layer: retrieval.average(_accuracies(nearest))
                for layer, nearest in by_layer.items()
            },
        )

    def score(self, params: Params) -> Scores:
        """The accuracies of the model's parameters `params`, in [0, 1]."""
        return _accuracies(self.run(parts_to_embed(params)).nearest)

    def flat(self, scores: Scores) -> dict[str, float]:
        """`scores` as one record: `de/de_to_en`, `de/en_to_de`, `average`."""
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
        for language, nearest in retrieved.nearest.items():
            order = sorted_english(self.pairs[language][1])
            predictions = nearest.tgt_to_src[order].tolist()
            xtreme.write_predictions(folder, TASKS[RETRIEVAL], language, predictions)

    def _embed_layers(self, params: Params, sentences: Sequence[str]) -> np.ndarray:
        """Vectors [M, len(self.layers), D] float32."""
        vectors = embed_sentences(
            self.embedder,
            params,
            self.tokenizer,
            [self.prompt + sentence for sentence in sentences],
            max_length=self.max_length,
            batch_size=self.batch_size,
        )
        return vectors if len(self.layers) > 1 else vectors[:, None]


def _accuracies(nearest: Mapping[str, retrieval.NearestRows]) -> Scores:
    return {language: retrieval.accuracy(rows) for language, rows in nearest.items()}


def build_retrieval(
    settings: ConfigDict,
    encoder: EncoderConfig,
    tokenizer: Tokenizer,
    encoding: EncodingDefaults,
) -> RetrievalEvaluation:
    """The evaluation that `config.retrieval()` settings describe.

    Args:
        settings: of the evaluation.
        encoder: the model's.
        tokenizer: the model's.
        encoding: how the model wants its sentences.

    Raises:
        UserError: a setting is wrong or the sentences cannot be read.
    """
    problems = list(retrieval_problems(settings, encoder.num_layers))
    if settings.max_length > encoder.usable_positions:
        problems.append(
            f"evaluation {settings.name}: max_length is {settings.max_length}, but the "
            f"model has {encoder.usable_positions} positions"
        )
    if problems:
        raise UserError("; ".join(problems))
    if settings.index != EXACT:
        faiss_index.library()  # whether it is there is known before encoding
    fields = (settings[name] for name in SentenceVector._fields)
    vector = SentenceVector(*fields).numbered(encoder.num_layers)
    layers = range(encoder.num_layers + 1) if settings.layer_curve else (vector.layer,)
    return RetrievalEvaluation(
        name=_data_set(settings),
        pivot=settings.pivot,
        pairs=_read_pairs(settings),
        prompt=prompt_text(encoding, settings.prompt),
        vector=vector,
        layers=tuple(layers),
        search=retrieval.Search(
            settings.similarity,
            settings.neighbors or SIMILARITIES[settings.similarity].neighbors,
            settings.index,
            settings.center,
            striped=encoder.kernels.scores == "striped",
        ),
        max_length=settings.max_length,
        batch_size=settings.batch_size,
        embedder=build_embedder(encoder, vector, every_layer=settings.layer_curve),
        tokenizer=tokenizer,
        writes_predictions=settings.predictions,
    )


def _data_set(settings: ConfigDict) -> str:
    """The evaluation's name; no table of other sentences is called Tatoeba."""
    path = location(settings.path)
    is_other = settings.name.startswith("tatoeba") and path.is_file()
    return path.name.partition(".")[0] if is_other else settings.name


def _read_pairs(settings: ConfigDict) -> Pairs:
    languages = tuple(settings.languages) or None
    if is_tfds(settings.path):
        if languages is None:
            raise UserError(
                f"evaluation {settings.name}: languages is empty; {settings.path} does "
                "not say which there are, set them"
            )
        pairs = read_tfds_tatoeba(settings.path, languages)
    elif not location(settings.path).exists():
        raise UserError(
            f"evaluation {settings.name}: {settings.path} does not exist; wanted a "
            "Tatoeba v1 folder or a many-way .tsv file"
        )
    elif location(settings.path).is_dir():
        pairs = read_tatoeba(location(settings.path), languages)
    else:
        pairs = read_many_way_pairs(
            location(settings.path), pivot=settings.pivot, languages=languages
        )
    limit = settings.max_candidates or None
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
    params = on_all_devices(parts_to_embed(model.params), of_all_processes=True)
    retrieved = evaluation.run(params)
    if evaluation.writes_predictions:
        done_by_first(
            lambda: evaluation.write_predictions(output / PREDICTIONS, retrieved)
        )
    search = evaluation.search
    return Retrieval(
        task=RETRIEVAL,
        name=evaluation.name,
        model=config.label or str(model.checkpoint.path),
        checkpoint=str(model.checkpoint.path),
        step=0 if config.untrained else model.checkpoint.step,
        scores=_accuracies(retrieved.nearest),
        sizes={name: len(xx) for name, (xx, _) in evaluation.pairs.items()},
        **evaluation.vector._asdict(),
        prompt=json.dumps(evaluation.prompt) if evaluation.prompt else "",
        max_length=evaluation.max_length,
        similarity=search.similarity,
        neighbors=search.neighbors,
        index=search.index,
        centered=search.centered,
        pivot=evaluation.pivot,
        layers={
            layer: Accuracies(**averages)
            for layer, averages in retrieved.layers.items()
            if len(retrieved.layers) > 1
        },
    )
