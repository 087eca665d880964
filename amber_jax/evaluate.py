"""Evaluation, wired: a checkpoint or a run's parameters in, scores by language out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from amber_jax import align, retrieve, zero_shot
from amber_jax.config import TASKS, WORD_ALIGNMENT, evaluation_problems
from amber_jax.errors import UserError
from amber_jax.files import make_folder, new_file, write_json
from amber_jax.loading import LoadedModel, init_key, init_params, load_model
from amber_jax.ranges import refuse
from amber_jax.retrieve import RetrievalEvaluation, build_retrieval
from amber_jax.tasks.alignment import view_pair
from amber_jax.workdir import RESULTS

PROBE = "probe.npz"


def evaluate(
    config: ConfigDict,
    checkpoint: Path,
    output: Path,
    *,
    note: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
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
    if config.task not in (*TASKS, WORD_ALIGNMENT):
        refuse("config", evaluation_problems(config))
    make_folder(output)
    if config.task in TASKS:
        results = zero_shot.evaluate_task(config, checkpoint, output, note=note)
    else:
        model = load_model(checkpoint, untrained=config.untrained, note=note)
        if config.task == WORD_ALIGNMENT:
            results = [align.word_alignment_result(config, model, note=note)]
        else:
            results = _retrievals(config, model, output)
    write_json(output / RESULTS, {"results": results})
    return results


def _retrievals(
    config: ConfigDict, model: LoadedModel, output: Path
) -> list[dict[str, Any]]:
    evaluations = [
        build_retrieval(one, model.config, model.tokenizer) for one in config.retrievals
    ]
    _check_probe(config.probe.language, evaluations[0])
    _check_predictions(evaluations)
    if config.probe.language:
        arrays = probe(model, evaluations[0], **config.probe)
        with new_file(output / PROBE) as file:
            np.savez(file, **arrays)
    return [
        retrieve.retrieval_result(config, model, evaluation, output)
        for evaluation in evaluations
    ]


def _check_probe(language: str, evaluation: RetrievalEvaluation) -> None:
    if language and language not in evaluation.pairs:
        raise UserError(
            f"probe.language is {language!r}, but {evaluation.name} has "
            f"{', '.join(evaluation.pairs)}"
        )


def _check_predictions(evaluations: Sequence[RetrievalEvaluation]) -> None:
    writers = [one.name for one in evaluations if one.writes_predictions]
    if len(writers) > 1:
        raise UserError(
            f"retrievals {', '.join(writers)} would all write the same predictions; "
            "set predictions for one of them"
        )


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
    if results["task"] in TASKS:
        return zero_shot.as_table(results)
    if results["task"] == WORD_ALIGNMENT:
        return align.as_table(results)
    return retrieve.as_table(results)
