"""Answers that need no encoder, to stand beside a model's."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amber_jax.datasets.examples import TaggedSentence


def frequent_tags(train: Sequence[TaggedSentence]) -> dict[str, Any]:
    """Returns each word's most frequent tag, and the most frequent of all.

    {"tags": {"the": "DET", ...}, "new_words": "NOUN"}
    """
    tags_of: dict[str, Counter[str]] = {}
    for sentence in train:
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            tags_of.setdefault(word, Counter())[tag] += 1
    return {
        "tags": {word: tags.most_common(1)[0][0] for word, tags in tags_of.items()},
        "new_words": _most_frequent(tag for sentence in train for tag in sentence.tags),
    }


def baselines(
    counted: Mapping[str, Any], test: Sequence[Any]
) -> dict[str, list[list[str]]]:
    """Returns the labels of each example by what knows no context.

    "majority" gives everything the test's own most frequent label. "frequent_tag"
    gives a word the tag it has most often in training; it needs `counted` not to be
    empty.

    Args:
        counted: as the task's head has learned it from training examples.
        test: the examples.
    """
    most_frequent = _most_frequent(
        label for example in test for label in example.labels
    )
    majority = {"majority": [[most_frequent] * len(example.labels) for example in test]}
    if not counted:
        return majority
    tags, new = counted["tags"], counted["new_words"]
    return majority | {
        "frequent_tag": [
            [tags.get(word, new) for word in example.words] for example in test
        ],
    }


def _most_frequent(labels: Iterable[str]) -> str:
    return Counter(labels).most_common(1)[0][0]
