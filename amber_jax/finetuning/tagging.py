"""Words with a tag each, as ids: part-of-speech and entity tagging."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from amber_jax.data.labelled import Labelled
from amber_jax.datasets.examples import TaggedSentence
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
