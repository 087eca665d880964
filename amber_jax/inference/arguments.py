"""What callers hand to `Model`, checked."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amber_jax.errors import UserError
from amber_jax.model.sentence_vector import EncodingDefaults

Sentence = str | Sequence[str]
"""A text whose words stand between spaces, or its words."""


_TEXT = re.compile(r"[\s:]")  # what no name of a prompt has


def prompt_text(encoding: EncodingDefaults, wanted: str | None) -> str:
    """The text to put before sentences.

    Args:
        encoding: the model's, with its prompts.
        wanted: a name of these, or the text itself; None: the default; "": none.

    Raises:
        UserError: it is no text, or a single word that is nearly one of the names.
    """
    name, prompts = (
        encoding.default_prompt if wanted is None else wanted,
        encoding.prompts,
    )
    if name is not None and not isinstance(name, str):
        raise UserError(f"prompt is {name!r}, not text")
    if not name or name in prompts:
        return prompts[name] if name else ""
    by_word = {known.casefold(): known for known in prompts}
    near = difflib.get_close_matches(name.casefold(), by_word, n=1)
    if near and not _TEXT.search(name):
        raise UserError(
            f"prompt is {name!r}, which is no name of the model's prompts "
            f"({', '.join(prompts)}); did you mean {by_word[near[0]]!r}? A text of its "
            "own ends with a space or a colon"
        )
    return name


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
