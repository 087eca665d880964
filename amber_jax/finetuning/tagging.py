"""Words with a tag each: part-of-speech tagging."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from amber_jax.data.labelled import Labelled
from amber_jax.datasets.examples import TaggedSentence
from amber_jax.evaluation import scores
from amber_jax.tokenization.tokenizer import Tokenizer

_SPECIAL_TOKENS = 2  # [CLS] x [SEP]


def encode_words(
    sentences: Sequence[TaggedSentence],
    tokenizer: Tokenizer,
    label_ids: Mapping[str, int],
    *,
    max_length: int,
) -> list[Labelled]:
    """Returns the sentences as ids, a label at the first piece of every word.

    A sentence longer than `max_length` tokens becomes several, cut between words, so
    that every word gets a prediction. A word that is itself too long is cut, one
    without any piece is [UNK]. SentencePiece's bare word mark is left out where other
    pieces follow: languages without spaces never have it inside a sentence, and no tag
    can be told from it. A tag that is not in `label_ids` becomes 0: it can be
    predicted, not trained on.

    Source: google-research/xtreme, utils_preprocess.py (cut sentences, [UNK]).
    """
    vocabulary = sorted({word for sentence in sentences for word in sentence.words})
    unknown = [tokenizer.special.unk]
    pieces = {
        word: _without_mark(ids, tokenizer) or unknown
        for word, ids in zip(
            vocabulary, tokenizer.encode_batch(vocabulary), strict=True
        )
    }
    room = max_length - _SPECIAL_TOKENS
    return [
        _window(window)
        for sentence in sentences
        for window in _windows(
            (
                (pieces[word][:room], label_ids.get(tag, 0))
                for word, tag in zip(sentence.words, sentence.tags, strict=True)
            ),
            room,
        )
    ]


def _without_mark(ids: list[int], tokenizer: Tokenizer) -> list[int]:
    bare = len(ids) > 1 and not tokenizer.decode(ids[:1])
    return ids[1:] if bare else ids


Word = tuple[list[int], int]


def _windows(words: Iterable[Word], room: int) -> Iterator[list[Word]]:
    """Yields consecutive words with at most `room` pieces together."""
    window: list[Word] = []
    used = 0
    for word in words:
        if used + len(word[0]) > room:
            yield window
            window, used = [], 0
        window.append(word)
        used += len(word[0])
    if window:
        yield window


def _window(words: Sequence[Word]) -> Labelled:
    ids = [piece for pieces, _ in words for piece in pieces]
    starts = itertools.accumulate((len(pieces) for pieces, _ in words), initial=1)
    slots = list(starts)[:-1]  # place 0 is [CLS]
    return Labelled(ids, [], slots, [label for _, label in words])


def decode_words(
    sentences: Sequence[TaggedSentence],
    predicted: Iterable[Sequence[int]],
    labels: Sequence[str],
) -> list[list[str]]:
    """Returns the tags of each sentence; `predicted` holds those of its windows."""
    tags = (labels[one] for window in predicted for one in window)
    return [list(itertools.islice(tags, len(one.words))) for one in sentences]


def score_words(
    sentences: Sequence[TaggedSentence], predicted: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Returns {"f1": XTREME's chunk F1, "accuracy": share of words}."""
    gold = [list(one.tags) for one in sentences]
    guessed = [list(one) for one in predicted]
    return {
        "f1": scores.chunk_f1(gold, guessed),
        "accuracy": scores.accuracy(
            [tag for one in gold for tag in one],
            [tag for one in guessed for tag in one],
        ),
    }


def learned_by_counting(train: Sequence[TaggedSentence]) -> dict[str, Any]:
    """Returns each word's most frequent tag, and the most frequent of all.

    {"tags": {"the": "DET", ...}, "new_words": "NOUN"}
    """
    tags_of: dict[str, Counter[str]] = {}
    for sentence in train:
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            tags_of.setdefault(word, Counter())[tag] += 1
    return {
        "tags": {word: tags.most_common(1)[0][0] for word, tags in tags_of.items()},
        "new_words": _most_frequent(tag for one in train for tag in one.tags),
    }


def baselines(
    counted: Mapping[str, Any], test: Sequence[TaggedSentence]
) -> dict[str, list[list[str]]]:
    """Returns what knows no context: "majority" and "frequent_tag".

    The first gives every word the test's own most frequent tag. The second gives a
    word the tag it has most often in training; it needs `counted` not to be empty.

    Args:
        counted: as `learned_by_counting` returns it.
        test: the sentences.
    """
    most_frequent = _most_frequent(tag for one in test for tag in one.tags)
    majority = {"majority": [[most_frequent] * len(one.words) for one in test]}
    if not counted:
        return majority
    tags, new = counted["tags"], counted["new_words"]
    return majority | {
        "frequent_tag": [[tags.get(word, new) for word in one.words] for one in test],
    }


def _most_frequent(tags: Iterable[str]) -> str:
    return Counter(tags).most_common(1)[0][0]


def num_slots(row_length: int) -> int:
    """Returns how many labels a row holds at most."""
    return row_length
