"""What the report draws words and sentences from: a trained model, looked into."""

import numpy as np

from amber_jax.evaluation.retrieve import RetrievalEvaluation
from amber_jax.inference.alignment import view_pair
from amber_jax.inference.loading import LoadedModel, untrained_params


def probe(
    model: LoadedModel,
    evaluation: RetrievalEvaluation,
    *,
    language: str,
    words: int,
    meanings: int,
) -> dict[str, np.ndarray]:
    """Returns the arrays of `report.inputs.Probe` by name, with its shapes and dtypes.

    Args:
        model: the trained model; its untrained self is made again from its seed.
        evaluation: whose sentences are shown.
        language: of the sentence pair whose words are shown; one of
            `evaluation.pairs`.
        words: the pair shown is the first whose sides have about this many pieces.
        meanings: how many sentences are shown in all languages.
    """
    xx, en = evaluation.pairs[language]
    encoded = (model.tokenizer.encode_batch(side) for side in (en, xx))
    sizes = [(len(src), len(tgt)) for src, tgt in zip(*encoded, strict=True)]
    row = min(range(len(sizes)), key=lambda i: sum(abs(n - words) for n in sizes[i]))
    view = view_pair(model.params, model.config, model.tokenizer, en[row], xx[row])
    before = untrained_params(model.checkpoint, model.config)
    sentences, languages, numbers = _same_meanings(evaluation, meanings)
    return {
        "src_pieces": np.array(view.src_pieces),
        "tgt_pieces": np.array(view.tgt_pieces),
        "src_to_tgt": view.src_to_tgt,
        "tgt_to_src": view.tgt_to_src,
        "similarity": view.similarity,
        "vectors_before": evaluation.embed(before, sentences),
        "vectors_after": evaluation.embed(model.params, sentences),
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
