"""Templates of wikitext: taken out, but for those whose arguments are text.

What a template shows is written on a page of its own, which a dump of articles lacks.
"""

import re
from collections.abc import Iterator, Sequence

DEEPEST = 40  # levels that show anything; MediaWiki's own limit

_BRACES = re.compile(r"\{\{+|\}\}+")
_SPOKEN = frozenset({"to", "and", "or", "by", "x", "-", "–", "+/-"})
_FIRST = (  # show their first argument
    *("nowrap", "nobr", "nobreak", "small", "big", "smallcaps", "sc", "abbr"),
    *("tooltip", "nombre", "num", "val"),
    # These link to a page of another wiki while there is none in this.
    *("ill", "illm", "le", "lien", "仮リンク", "нп", "нп1", "нп2", "нп3", "нп4", "нп5"),
)
_LAST = ("lang", "langue", "transl", "transliteration", "translit", "tsl")
_BEGINNINGS = ("lang-", "link-")  # of names that show their first argument
_MEASURES = ("convert", "cvt", "unité", "unite")  # a number and its unit
_VISIBLE = frozenset((*_FIRST, *_LAST, *_MEASURES))
_CHARACTERS = {
    "!": "|",
    "=": "=",
    "'": "'",
    "nbsp": " ",
    "ndash": "–",
    "spaced ndash": " – ",
    "snd": " – ",
    "mdash": "—",
    "–": " – ",
}


def without_templates(text: str) -> str:
    """Returns wikitext without `{{...}}` and `{{{...}}}`.

        "A {{lang|fr|mot}} of {{convert|5|km}}.{{cite|{{x}}}}"     "A mot of 5 km."

    Braces that nothing closes are taken out alone, or with the line that they begin.
    """
    if "{{" not in text:
        return text
    levels: list[list[str]] = [[]]
    widths: list[int] = []  # braces of those that are open
    position = 0
    for run in _BRACES.finditer(text):
        levels[-1].append(text[position : run.start()])
        position = run.end()
        count = position - run.start()
        if text[run.start()] == "{":
            opened = _widths(count)
            widths += opened
            levels += [[] for _ in opened]
            continue
        while count >= 2 and widths:
            width = min(widths.pop(), count)
            count -= width
            content = levels.pop()
            if width == 2 and len(levels) <= DEEPEST:
                levels[-1].append(_shown(content))
        levels[-1].append("}" * (count % 2))
    levels[-1].append(text[position:])
    return "".join(_unclosed(levels))


def _unclosed(levels: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yields the pieces of all levels; between them stood braces without end."""
    last = "\n"
    for number, level in enumerate(levels):
        for place, piece in enumerate(level):
            if number and not place and last == "\n":
                piece = "".join(piece.partition("\n")[1:])
            yield piece
            last = piece[-1:] or last


def _widths(count: int) -> list[int]:
    """Returns how a run of opening braces is read, outermost first: 2s, and one 3."""
    return [2] * (count // 2 - count % 2) + [3] * (count % 2)


def _shown(pieces: Sequence[str]) -> str:
    name, bar, _ = pieces[0].partition("|")
    name = name.strip().replace("_", " ").lower()
    if name in _CHARACTERS:
        return _CHARACTERS[name]
    if name.startswith("formatnum:"):
        return name.removeprefix("formatnum:")
    if not bar or not (name in _VISIBLE or name.startswith(_BEGINNINGS)):
        return ""
    arguments = [
        argument.strip().removeprefix("1=")
        for argument in "".join(pieces).split("|")[1:]
        if "=" not in argument or argument.strip().startswith("1=")
    ]
    if not arguments:
        return ""
    if name in _MEASURES:
        size = 4 if len(arguments) > 3 and arguments[1] in _SPOKEN else 2
        return " ".join(arguments[:size])
    return arguments[-1 if name in _LAST else 0]
