"""Filters of one line: each a function, a reason and an option."""

import functools
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Any

from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.cleaning.scripts import script_of, scripts_of


class Line:
    """A line of text in a language, and how often each of its characters occurs."""

    def __init__(self, text: str, language: str):
        """Takes clean text and the code that its source gives."""
        self.text = text
        self.language = language

    @functools.cached_property
    def characters(self) -> Counter[str]:
        """How often each character occurs; spaces are none."""
        counts = Counter(self.text)
        counts.pop(" ", None)
        return counts

    def share(self, chosen: Callable[[str], bool]) -> float:
        """The share of the characters that are `chosen`; 0 of none."""
        return _share(self.characters, chosen)


Filter = Callable[[Line, Any], bool]


def too_short(line: Line, min_characters: int) -> bool:
    """Returns whether a line has fewer characters."""
    return len(line.text) < min_characters


def too_long(line: Line, max_characters: int) -> bool:
    """Returns whether a line has more characters."""
    return len(line.text) > max_characters


def few_letters(line: Line, min_letters: float) -> bool:
    """Returns whether fewer characters are letters, or marks upon them."""
    return line.share(_is_letter_or_mark) < min_letters


def many_digits(line: Line, max_digits: float) -> bool:
    """Returns whether more characters are digits, of any script."""
    return line.share(str.isdecimal) > max_digits


def repeated_character(line: Line, max_repeated: float) -> bool:
    """Returns whether a character occurs again and again: a rule, a scream."""
    ((_, most),) = line.characters.most_common(1) or [("", 0)]
    return most > max(1, max_repeated * line.characters.total())


def other_script(line: Line, min_script: float) -> bool:
    """Returns whether fewer letters are of the language's scripts.

    A language whose scripts are not known has any, and so has a line without letters.
    """
    scripts = scripts_of(line.language)
    letters = {c: n for c, n in line.characters.items() if c.isalpha()}
    if not scripts or not letters:
        return False
    return _share(letters, lambda letter: script_of(letter) in scripts) < min_script


FILTERS: dict[str, tuple[str, Filter]] = {  # reason -> (option of `Cleaning`, filter)
    "too_short": ("min_characters", too_short),
    "too_long": ("max_characters", too_long),
    "few_letters": ("min_letters", few_letters),
    "many_digits": ("max_digits", many_digits),
    "repeated_character": ("max_repeated", repeated_character),
    "other_script": ("min_script", other_script),
}


class LineFilters:
    """The filters that a config asks for, in the order of `FILTERS`."""

    def __init__(self, cleaning: Cleaning):
        """Takes the options; one at its default costs nothing."""
        off = Cleaning()
        self._asked = [
            (reason, check, getattr(cleaning, option))
            for reason, (option, check) in FILTERS.items()
            if getattr(cleaning, option) != getattr(off, option)
        ]

    def reason(self, text: str, language: str) -> str | None:
        """Returns why a clean line is left out, or None."""
        if not self._asked:
            return None
        line = Line(text, language)
        return next((name for name, check, of in self._asked if check(line, of)), None)


def _share(counts: dict[str, int], chosen: Callable[[str], bool]) -> float:
    total = sum(counts.values())
    return sum(n for c, n in counts.items() if chosen(c)) / total if total else 0.0


@functools.cache
def _is_letter_or_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM"
