"""Multi-word tokens as single words: "du", in UD the words "de" and "le", is one ADP.

XTREME tags what is written, so it needs one tag for each multi-word token: that of
the word in it that stands highest in the dependency graph.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

# Decide between words that stand equally high: the first tag wins.
# Source: google-research/xtreme, third_party/ud-conversion-tools/conllu_to_conll.py.
_PRECEDENCE = {
    "es": ("VERB", "AUX", "PRON", "ADP", "DET"),
    "fr": (
        "VERB", "AUX", "PRON", "NOUN", "ADJ", "ADV", "ADP", "DET", "PART", "SCONJ",
    ),
    "it": ("VERB", "AUX", "ADV", "PRON", "ADP", "DET", "INTJ"),
}  # fmt: skip
_OTHERS = (
    "VERB", "NOUN", "PROPN", "PRON", "ADJ", "NUM", "ADV", "INTJ", "AUX", "ADP", "DET",
    "PART", "CCONJ", "SCONJ", "X", "PUNCT",
)  # fmt: skip


class Word(NamedTuple):
    """A syntactic word; `heads` are places from 1 in its sentence, 0 is the root."""

    form: str
    tag: str
    heads: tuple[int, ...]  # the basic one and those of enhanced dependencies


class Span(NamedTuple):
    """A multi-word token: the words `first` to `last`, from 1, are written `form`."""

    first: int
    last: int
    form: str


def fuse(
    words: Sequence[Word], spans: Sequence[Span], *, language: str
) -> list[tuple[str, str]]:
    """Returns the (form, tag) of what is written, one word for each span.

    A span takes the tag of its word with the fewest ancestors, basic and enhanced
    heads counting alike; among several of these, the tag that comes first in
    XTREME's list for the language, and among equal tags the first word. (Where a tag
    is not in the list XTREME's script stops; here it comes last.)

    Args:
        words: the syntactic words of a sentence.
        spans: in order, not overlapping.
        language: ISO 639-1 code.

    Source: google-research/xtreme, third_party/ud-conversion-tools/lib/conll.py.
    """
    written = []
    place = 0
    for span in spans:
        written += [(word.form, word.tag) for word in words[place : span.first - 1]]
        written.append((span.form, _tag_of(span, words, language)))
        place = span.last
    written += [(word.form, word.tag) for word in words[place:]]
    return written


def _tag_of(span: Span, words: Sequence[Word], language: str) -> str:
    precedence = _PRECEDENCE.get(language, _OTHERS)

    def rank(place: int) -> tuple[int, int]:
        tag = words[place - 1].tag
        order = precedence.index(tag) if tag in precedence else len(precedence)
        return len(_ancestors(place, words)), order

    return words[min(range(span.first, span.last + 1), key=rank) - 1].tag


def _ancestors(place: int, words: Sequence[Word]) -> set[int]:
    """Returns the places above one, the root among them; heads may form a circle."""
    ancestors: set[int] = set()
    waiting = [place]
    while waiting:
        new = set(_heads_of(waiting.pop(), words)) - ancestors
        ancestors |= new
        waiting += new
    return ancestors - {place}


def _heads_of(place: int, words: Sequence[Word]) -> Iterator[int]:
    # Place 0 has no head; a head past the end of the sentence leads nowhere.
    if 0 < place <= len(words):
        yield from words[place - 1].heads
