"""What stands on an encoder for each kind of task, and how examples reach it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from amber_jax.data.labelled import MAX_PAIRS, Labelled
from amber_jax.finetuning.baselines import frequent_tags
from amber_jax.finetuning.classification import encode_pairs
from amber_jax.finetuning.tagging import encode_words
from amber_jax.tasks import PAIRS, TAGS


@dataclasses.dataclass(frozen=True)
class Head:
    """The head of a kind of task; an example is what the task's reader returns."""

    pooled: bool  # whether BERT's pooler stands under it
    encode: Callable[..., list[Labelled]]  # one or more of every example, in order
    num_slots: Callable[[int], int]  # row length -> labels a row may hold
    # Training examples -> what `baselines` takes from them, as JSON.
    learned_by_counting: Callable[[Sequence[Any]], Mapping[str, Any]]


HEADS = {
    TAGS: Head(
        pooled=False,
        encode=encode_words,
        num_slots=lambda row_length: row_length,
        learned_by_counting=frequent_tags,
    ),
    PAIRS: Head(
        pooled=True,
        encode=encode_pairs,
        num_slots=lambda _: MAX_PAIRS,
        learned_by_counting=lambda _: {},
    ),
}
