"""Evaluation, wired: a checkpoint or a run's parameters in, scores by language out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from amber_jax.config import evaluation_problems
from amber_jax.errors import UserError
from amber_jax.evaluation import retrieve, word_alignment
from amber_jax.evaluation.probe import probe
from amber_jax.evaluation.results import Result, write_results
from amber_jax.evaluation.retrieve import RetrievalEvaluation, build_retrieval
from amber_jax.files import make_folder, new_file
from amber_jax.finetuning import zero_shot
from amber_jax.inference.loading import LoadedModel, load_model, settled
from amber_jax.inference.trained import encoding_defaults
from amber_jax.ranges import refuse
from amber_jax.tasks import FINE_TUNED, WORD_ALIGNMENT
from amber_jax.training.agreement import done_by_first, is_first, silent
from amber_jax.training.workdir import RESULTS

PROBE = "probe.npz"


def evaluate(
    config: ConfigDict,
    checkpoint: Path,
    output: Path,
    *,
    note: Callable[[str], None] = print,
) -> list[Result]:
    """Returns the results, and writes them to `output`/results.json.

    Args:
        config: as `configs/tatoeba.py`, `configs/word_alignment.py` or, for a model
            that was fine-tuned, `configs/xnli.py` makes it; its `task` says which.
        checkpoint: a run's workdir or one of its checkpoint folders.
        output: folder for the files; predictions/ and, if `config.probe.language` of
            a retrieval is set, probe.npz for the report's pictures come there too.
        note: called with sentences worth telling.

    Raises:
        UserError: the checkpoint, a setting or the sentences cannot be used.
    """
    if config.task not in (*FINE_TUNED, WORD_ALIGNMENT):
        refuse("config", evaluation_problems(config))
    if not is_first():
        note = silent
    done_by_first(lambda: make_folder(output))
    if config.task in FINE_TUNED:
        results = zero_shot.evaluate_task(config, checkpoint, output, note=note)
    else:
        model = load_model(
            settled(checkpoint, note),
            untrained=config.untrained,
            kernels=config.kernels,
            dtype=config.dtype or None,
            note=note,
        )
        if config.task == WORD_ALIGNMENT:
            results = [word_alignment.word_alignment_result(config, model, note=note)]
        else:
            results = _retrievals(config, model, output)
    done_by_first(lambda: write_results(output / RESULTS, results))
    return results


def _retrievals(config: ConfigDict, model: LoadedModel, output: Path) -> list[Result]:
    evaluations = [
        build_retrieval(
            retrieval,
            model.config,
            model.tokenizer,
            encoding_defaults(model.checkpoint.run),
        )
        for retrieval in config.retrievals
    ]
    _check_probe(config.probe.language, evaluations[0])
    _check_predictions(evaluations)
    if config.probe.language:
        arrays = probe(model, evaluations[0], **config.probe)
        done_by_first(lambda: _write_probe(output / PROBE, arrays))
    return [
        retrieve.retrieval_result(config, model, evaluation, output)
        for evaluation in evaluations
    ]


def _write_probe(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with new_file(path) as file:
        np.savez(file, **arrays)


def _check_probe(language: str, evaluation: RetrievalEvaluation) -> None:
    if language and language not in evaluation.pairs:
        raise UserError(
            f"probe.language is {language!r}, but {evaluation.name} has "
            f"{', '.join(evaluation.pairs)}"
        )


def _check_predictions(evaluations: Sequence[RetrievalEvaluation]) -> None:
    writers = [
        evaluation.name for evaluation in evaluations if evaluation.writes_predictions
    ]
    if len(writers) > 1:
        raise UserError(
            f"retrievals {', '.join(writers)} would all write the same predictions; "
            "set predictions for one of them"
        )
