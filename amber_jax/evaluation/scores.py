"""Scores of predictions against gold: shares in [0, 1]."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from amber_jax.datasets.examples import AlignedPair
from amber_jax.datasets.sentence_pairs import is_translated
from amber_jax.errors import UserError
from amber_jax.tasks import TRANSLATED, Task

_BORDER = "O"  # what stands between sentences, and is in no chunk
_OUTSIDE = ("O", ".")

T = TypeVar("T")
Chunk = tuple[str, int, int]  # type, first and last place


def label_scores(
    task: Task, examples: Sequence[Any], predicted: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Returns {metric: share} of the task's metrics.

    Args:
        task: one with labels.
        examples: as its reader returns them, with the gold labels.
        predicted: the labels of each: of its words, or of the pair alone.

    Raises:
        UserError: the two differ in length, or there is nothing to score.
    """
    return {metric: _METRICS[metric](examples, predicted) for metric in task.metrics}


def _f1(examples: Sequence[Any], predicted: Sequence[Sequence[str]]) -> float:
    return chunk_f1([example.labels for example in examples], predicted)


def _accuracy(examples: Sequence[Any], predicted: Sequence[Sequence[str]]) -> float:
    return accuracy(
        [label for example in examples for label in example.labels],
        [label for labels in predicted for label in labels],
    )


def _translated(examples: Sequence[Any], predicted: Sequence[Sequence[str]]) -> float:
    """Returns the accuracy without the pairs that PAWS-X's translators left out.

    XTREME counts them.
    """
    both = zip(examples, predicted, strict=True)
    kept = [(example, labels) for example, labels in both if is_translated(example)]
    return _accuracy([example for example, _ in kept], [labels for _, labels in kept])


_METRICS: Mapping[str, Callable[[Sequence[Any], Sequence[Sequence[str]]], float]] = {
    "f1": _f1,
    "accuracy": _accuracy,
    TRANSLATED: _translated,
}


def accuracy(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """Returns the share of places where the two are equal.

    Raises:
        UserError: the two differ in length, or are empty.
    """
    _check_counts(len(gold), len(predicted), "labels")
    hits = sum(
        label == prediction for label, prediction in zip(gold, predicted, strict=True)
    )
    return hits / len(gold)


def chunk_f1(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> float:
    """Returns XTREME's F1 of tag sequences, one per sentence: see `chunk_scores`."""
    return chunk_scores(gold, predicted)["f1"]


def chunk_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Returns {"precision", "recall", "f1"} of the chunks that tags form.

    A chunk counts as found if its type, first and last place are those of gold. Since
    UPOS tags carry no B or I, equal tags in a row are one chunk, and one wrong tag
    loses all of it; see `chunks`. This is what XTREME reports for part of speech:

        gold NOUN NOUN VERB, predicted NOUN VERB VERB     accuracy 2/3, F1 0

    Raises:
        UserError: the two differ in their number of sentences, or of tags in one, or
            hold no tag.

    Source: google-research/xtreme, evaluate.py, with the seqeval 0.0.12 it pins;
    later versions of seqeval give other values.
    """
    _check_counts(len(gold), len(predicted), "sentences")
    for number, (gold_tags, predicted_tags) in enumerate(
        zip(gold, predicted, strict=True), start=1
    ):
        if len(gold_tags) != len(predicted_tags):
            raise UserError(
                f"sentence {number} has {len(gold_tags)} gold tags and "
                f"{len(predicted_tags)} predicted ones; wanted one for every word"
            )
    if not any(gold):
        raise UserError("there is no tag to score; give sentences with words")
    wanted, predicted_chunks = set(chunks(gold)), set(chunks(predicted))
    hits = len(wanted & predicted_chunks)
    precision = hits / len(predicted_chunks) if predicted_chunks else 0.0
    recall = hits / len(wanted) if wanted else 0.0
    f1 = _harmonic_mean(precision, recall)
    return {"precision": precision, "recall": recall, "f1": f1}


def chunks(sentences: Iterable[Sequence[str]]) -> Iterator[Chunk]:
    """Yields the chunks of tag sequences; places count on over all sentences.

    A tag is read as a first character and a type, the text behind the last `-`:

        B-LOC  B, LOC        NOUN  N, NOUN        SCONJ  S, SCONJ        X-_  X, _

    A chunk ends where the type changes; behind E and S; and, being in B or I, before
    B, S or O. It starts where the type changes; at B and S; at an E or I behind E, S
    or O (E behind E included). O and `.` are in no chunk: a change to or from them
    starts or ends none by itself. Where a chunk ends without having started, its first
    place is that of the chunk before. Between sentences stands an O.

        NOUN NOUN VERB      NOUN 0-1, VERB 2     equal tags merge
        SYM SYM             SYM 0, SYM 1         S: each is a chunk
        INTJ INTJ           INTJ 0-1             I merges

    Source: the rules of seqeval 0.0.12, `get_entities` (CoNLL-2000's conlleval).
    """
    first, kind = 0, ""
    before = _BORDER
    place = 0
    for sentence in sentences:
        for tag in (*sentence, _BORDER):
            now, kind_now = tag[:1], tag.rpartition("-")[2]
            if _ends(before, now, kind, kind_now):
                yield kind, first, place - 1
            if _starts(before, now, kind, kind_now):
                first = place
            before, kind = now, kind_now
            place += 1


def _ends(before: str, now: str, kind: str, kind_now: str) -> bool:
    if before in ("E", "S"):
        return True
    if before in ("B", "I") and now in ("B", "S", "O"):
        return True
    return before not in _OUTSIDE and kind != kind_now


def _starts(before: str, now: str, kind: str, kind_now: str) -> bool:
    if now in ("B", "S"):
        return True
    if before in ("E", "S", "O") and now in ("E", "I"):
        return True
    return now not in _OUTSIDE and kind != kind_now


def alignment_scores(
    pairs: Sequence[AlignedPair], predicted: Sequence[Iterable[tuple[int, int]]]
) -> dict[str, float]:
    """Returns {"precision", "recall", "f1", "aer"} over all pairs together.

    With A predicted, S sure and P possible links, counted over the whole corpus:

        precision = |A & P| / |A|        recall = |A & S| / |S|
        AER = 1 - (|A & S| + |A & P|) / (|A| + |S|)

    F1 is the harmonic mean of precision and recall; without a prediction all three
    are 0.

    Args:
        pairs: gold; possible links hold the sure ones.
        predicted: the links of each pair.

    Raises:
        UserError: the two differ in length, or no pair has a sure link.

    Source: Och & Ney 2003, "A Systematic Comparison of Various Statistical Alignment
    Models", section 6.
    """
    _check_counts(len(pairs), len(predicted), "sentence pairs")
    guessed = sure = guessed_sure = guessed_possible = 0
    for pair, links in zip(pairs, predicted, strict=True):
        links = set(links)
        guessed += len(links)
        sure += len(pair.sure)
        guessed_sure += len(links & pair.sure)
        guessed_possible += len(links & pair.possible)
    if not sure:
        raise UserError("the gold alignments have no sure link; nothing can be scored")
    precision = guessed_possible / guessed if guessed else 0.0
    recall = guessed_sure / sure
    return {
        "precision": precision,
        "recall": recall,
        "f1": _harmonic_mean(precision, recall),
        "aer": 1 - (guessed_sure + guessed_possible) / (guessed + sure),
    }


def _harmonic_mean(precision: float, recall: float) -> float:
    both = precision + recall
    return 2 * precision * recall / both if both else 0.0


def _check_counts(gold: int, predicted: int, what: str) -> None:
    if gold != predicted or not gold:
        raise UserError(
            f"there are {gold} gold and {predicted} predicted {what}; wanted as many "
            "of both, and at least one"
        )


def by_baseline(by_language: Mapping[str, Mapping[str, T]]) -> dict[str, dict[str, T]]:
    """Returns {baseline: {language: share}} of {language: {baseline: share}}."""
    baselines: dict[str, dict[str, T]] = {}
    for language, shares in by_language.items():
        for name, share in shares.items():
            baselines.setdefault(name, {})[language] = share
    return baselines
