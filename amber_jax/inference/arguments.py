"""What callers hand to `Model`, checked."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amber_jax.errors import UserError

Sentence = str | Sequence[str]
"""A text whose words stand between spaces, or its words."""


def checked_sentences(sentences: Iterable[str]) -> list[str]:
    """The sentences as a list; raises UserError if they are no list of strings."""
    if isinstance(sentences, str):
        raise UserError(
            "encode got one string; wanted a list of sentences, as in encode([text])"
        )
    sentences = _listed(sentences, "encode", "strings")
    for index, sentence in enumerate(sentences):
        if not isinstance(sentence, str):
            raise UserError(
                f"encode got a {type(sentence).__name__} as sentence {index}, from 0; "
                "wanted strings"
            )
    return sentences


def _listed(items: Any, method: str, wanted: str) -> list[Any]:
    """The items; raises UserError for None, a number, bytes or a dict."""
    if isinstance(items, bytes | Mapping) or not isinstance(items, Iterable):
        raise UserError(f"{method} got {items!r:.80}; wanted a list of {wanted}")
    return list(items)


def pairs_of_words(
    src: Iterable[Sentence], tgt: Iterable[Sentence]
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The words of the pairs; raises UserError if the sides do not fit each other."""
    if isinstance(src, str) or isinstance(tgt, str):
        raise UserError("align got a string and no string; wanted two, or two lists")
    xs, ys = (_listed(side, "align", "sentences") for side in (src, tgt))
    if len(xs) != len(ys):
        raise UserError(
            f"align got lists of {len(xs)} and {len(ys)} sentences; wanted as many "
            "translations as sentences"
        )
    return [(_words(x), _words(y)) for x, y in zip(xs, ys, strict=True)]


def _words(sentence: Sentence) -> tuple[str, ...]:
    """The words; only U+0020 ends one, as in amber align."""
    if isinstance(sentence, str):
        return tuple(filter(None, sentence.split(" ")))
    words = _listed(sentence, "align, as a sentence,", "words")
    if not all(isinstance(word, str) for word in words):
        raise UserError("align got a sentence that is neither text nor a list of words")
    return tuple(words)
