"""The tasks that a pretrained encoder is fine-tuned on: what each one is made of."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from amber_jax.data.labelled import Labelled
from amber_jax.datasets import readers
from amber_jax.datasets.examples import PAWSX_LABELS, UDPOS_TAGS, XNLI_LABELS, Read
from amber_jax.datasets.sentence_pairs import is_translated
from amber_jax.errors import UserError
from amber_jax.finetuning import classification, tagging


@dataclasses.dataclass(frozen=True)
class Task:
    """One kind of task; an example is what its reader returns."""

    labels: tuple[str, ...]
    metric: str  # by which a step is chosen and tables are ordered
    pooled: bool  # whether BERT's pooler stands under the head
    read: Callable[[str, str], Read]  # (source, language) -> examples
    label_list: Callable[[Sequence[Any]], list[str]]  # examples -> their labels, flat
    encode: Callable[..., list[Labelled]]
    decode: Callable[[Sequence[Any], Any, Sequence[str]], list[Any]]
    score: Callable[[Sequence[Any], Sequence[Any]], dict[str, float]]
    learned_by_counting: Callable[[Sequence[Any]], dict[str, Any]]  # of train, as JSON
    baselines: Callable[[Mapping[str, Any], Sequence[Any]], dict[str, list[Any]]]
    num_slots: Callable[[int], int]  # row length -> labels a row may hold
    is_translated: Callable[[Any], bool] = lambda _: True  # else it teaches nothing

    @property
    def label_ids(self) -> Mapping[str, int]:
        """The number of each label."""
        return {label: number for number, label in enumerate(self.labels)}


def _pairs(name: readers.PairTask, labels: tuple[str, ...]) -> Task:
    return Task(
        labels=labels,
        metric="accuracy",
        pooled=True,
        read=lambda source, language: readers.read_labelled_pairs(
            source, language=language, task=name
        ),
        label_list=lambda pairs: [pair.label for pair in pairs],
        encode=classification.encode_pairs,
        decode=lambda _, predicted, labels: classification.decode_pairs(
            predicted, labels
        ),
        score=classification.score_pairs,
        learned_by_counting=classification.learned_by_counting,
        baselines=classification.baselines,
        num_slots=classification.num_slots,
    )


def _tags(*, syntactic_words: bool) -> Task:
    return Task(
        labels=UDPOS_TAGS,
        metric="f1",
        pooled=False,
        read=lambda source, language: readers.read_tagged_sentences(
            source, language=language, syntactic_words=syntactic_words
        ),
        label_list=lambda sentences: [tag for one in sentences for tag in one.tags],
        encode=tagging.encode_words,
        decode=tagging.decode_words,
        score=tagging.score_words,
        learned_by_counting=tagging.learned_by_counting,
        baselines=tagging.baselines,
        num_slots=tagging.num_slots,
    )


def build_task(name: str, *, syntactic_words: bool = False) -> Task:
    """Returns the task `name`: "udpos", "xnli" or "pawsx".

    Args:
        name: of the task.
        syntactic_words: of udpos, see `readers.read_tagged_sentences`.
    """
    if name == "udpos":
        return _tags(syntactic_words=syntactic_words)
    if name == "xnli":
        return _pairs("xnli", XNLI_LABELS)
    return dataclasses.replace(
        _pairs("pawsx", PAWSX_LABELS),
        score=classification.score_paraphrases,
        is_translated=is_translated,
    )


def refuse_unknown_labels(
    task: Task, examples: Sequence[Any], files: Sequence[str]
) -> None:
    """Raises UserError if training examples have a label that the task has not."""
    unknown = sorted(set(task.label_list(examples)) - set(task.labels))
    if unknown:
        raise UserError(
            f"{', '.join(files)}: labels {', '.join(unknown[:5])} are unknown; "
            f"wanted {', '.join(task.labels)}"
        )
