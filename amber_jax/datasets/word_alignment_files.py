"""Word alignments in files: XL-WA tables, and texts beside a file of Pharaoh links.

A link is `i-j`: word i of the source and word j of the target translate each other.
`ipj` and `i?j` are links that gold calls possible instead of sure. Words are counted
from 0 in most files and from 1 in some, KFTT's among them; places are from 0 here.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from amber_jax.datasets.examples import AlignedPair
from amber_jax.datasets.text_lines import excerpt, line_error, numbered_lines
from amber_jax.errors import UserError

Link = tuple[int, int]
Links = frozenset[Link]
Sides = tuple[str, str]

_LINK = re.compile("([0-9]{1,6})([-p?])([0-9]{1,6})")
_SURE = "-"


def read_xl_wa(path: Path, *, first_index: int = 0) -> list[AlignedPair]:
    """Returns the pairs of `source<TAB>target<TAB>links` lines, words split by spaces.

    Args:
        path: the file.
        first_index: what the file calls the first word of a sentence: 0 or 1.

    Raises:
        UserError: the file cannot be read, is empty, a line is wrong, or the links
            seem to be counted from 1 and `first_index` is 0.

    Source: Martelli et al. 2023, "XL-WA", its repository's files.
    """
    pairs = []
    for number, line in numbered_lines(path):
        fields = line.split("\t")
        if len(fields) != 3:
            raise line_error(
                path,
                number,
                f"has {len(fields)} fields separated by tabs; wanted source, target "
                "and links",
            )
        sides = (fields[0], fields[1])
        pairs.append(_pair(sides, fields[2], path, number, first_index))
    _check_all(pairs, path, first_index)
    return pairs


def read_pharaoh(
    text: Path | tuple[Path, Path], alignment: Path, *, first_index: int = 0
) -> list[AlignedPair]:
    """Returns pairs of two texts and the file that aligns them, line by line.

    Args:
        text: a file of `source<TAB>target` or `source ||| target` lines, or two files
            whose lines translate each other; words split by spaces.
        alignment: the links of each line.
        first_index: as in `read_xl_wa`.

    Raises:
        UserError: a file cannot be read, a line is wrong, one file is longer, or the
            links seem to be counted from 1 and `first_index` is 0.
    """
    sides = _sides_of_two(*text) if isinstance(text, tuple) else _sides_of_one(text)
    pairs = []
    for side, numbered in itertools.zip_longest(sides, numbered_lines(alignment)):
        if side is None or numbered is None:
            longer = "the alignments" if side is None else "the text"
            raise line_error(
                alignment,
                len(pairs) + 1,
                f"and the text's line {len(pairs) + 1} do not both exist, {longer} "
                "go on; wanted one line of links per pair",
            )
        number, links = numbered
        pairs.append(_pair(side, links, alignment, number, first_index))
    _check_all(pairs, alignment, first_index)
    return pairs


def parse_links(text: str) -> tuple[Links, Links]:
    """Returns the (sure, possible) links of one line; possible ones hold the sure.

        "0-0 1p2"     {(0, 0)}, {(0, 0), (1, 2)}

    Raises:
        ValueError: an item is no link; its text is the item.
    """
    sure, possible = set(), set()
    for item in text.split():
        match = _LINK.fullmatch(item)
        if not match:
            raise ValueError(item)
        link = int(match[1]), int(match[3])
        possible.add(link)
        if match[2] == _SURE:
            sure.add(link)
    return frozenset(sure), frozenset(possible)


def format_pharaoh(links: Iterable[Link]) -> str:
    """Returns `i-j` items in order, separated by spaces."""
    return " ".join(f"{i}-{j}" for i, j in sorted(links))


def _sides_of_one(path: Path) -> Iterator[Sides]:
    for number, line in numbered_lines(path):
        fields = line.split("\t" if "\t" in line else "|||")
        if len(fields) != 2:
            raise line_error(
                path,
                number,
                f"is {excerpt(line)}; wanted source and target, separated by a tab "
                "or by |||",
            )
        yield fields[0], fields[1]


def _sides_of_two(src: Path, tgt: Path) -> Iterator[Sides]:
    lines = itertools.zip_longest(numbered_lines(src), numbered_lines(tgt))
    for number, (src_line, tgt_line) in enumerate(lines, start=1):
        if src_line is None or tgt_line is None:
            short = src if src_line is None else tgt
            raise line_error(short, number, "is missing: the other text goes on")
        yield src_line[1], tgt_line[1]


def _check_all(pairs: list[AlignedPair], path: Path, first_index: int) -> None:
    """Refuses a file without pairs, and one that can hardly be counted from 0."""
    if not pairs:
        raise line_error(path, 1, "is missing: the file is empty")
    links = [link for pair in pairs for link in pair.possible]
    if first_index == 0 and links and not any(0 in link for link in links):
        raise UserError(
            f"{path} never links a first word, 0, on either side: its words seem to be "
            "counted from 1; set first_index to 1 (--config.first_index=1)"
        )


def _pair(
    sides: Sides, text: str, path: Path, number: int, first_index: int
) -> AlignedPair:
    # Not every white space: words may hold U+00A0.
    src, tgt = (tuple(word for word in side.split(" ") if word) for side in sides)
    if not src or not tgt:
        raise line_error(path, number, "has a side without words; remove the pair")
    try:
        sure, possible = parse_links(text)
    except ValueError as error:
        raise line_error(
            path,
            number,
            f"has the item {excerpt(str(error))}; wanted links such as 0-0, or 0p0 "
            "and 0?0 for possible ones",
        ) from error
    sure, possible = (
        frozenset((i - first_index, j - first_index) for i, j in links)
        for links in (sure, possible)
    )
    for i, j in sorted(possible):
        if not (0 <= i < len(src) and 0 <= j < len(tgt)):
            raise line_error(
                path,
                number,
                f"links {i + first_index}-{j + first_index}, but its sides have "
                f"{len(src)} and {len(tgt)} words; wanted places counted from "
                f"{first_index}, words split by spaces (--config.first_index says "
                "from where a file counts, 0 or 1)",
            )
    return AlignedPair(src, tgt, sure, possible)
