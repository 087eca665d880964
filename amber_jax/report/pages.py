"""A report as Markdown with its pictures beside it, and as one HTML file of its own.

The templates escape whatever they are given: text comes from files.
"""

import base64
import functools
import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from amber_jax.report.grouping import distinct
from amber_jax.report.sections import Section
from amber_jax.report.tables import Table, shown

MAX_COLUMNS = 24  # with more of them a Markdown table is turned, languages down
# "_" means something only at the border of a word, and a file name is full of them.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~#&$!]|\b_|_\b")
_PNG_WIDTH = slice(16, 20)  # where a PNG file tells it, big-endian


def to_html(title: str, sections: Sequence[Section]) -> str:
    """Returns the page. Raises OSError if a picture cannot be read."""
    anchors = _anchors([section.title for section in sections])
    template = _environment(autoescape=True).get_template("report.html")
    return template.render(title=title, sections=sections, anchors=anchors, shown=shown)


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """Returns the page; the pictures are linked by their names."""
    environment = _environment(finalize=escape)
    page = environment.get_template("report.md").render(title=title, sections=sections)
    return re.sub(r"\n{3,}", "\n\n", page).rstrip() + "\n"


@functools.cache
def _environment(**options: object) -> Environment:
    environment = Environment(
        loader=PackageLoader("amber_jax.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    environment.filters |= {
        "data_uri": _data_uri,
        "pipes": _pipes,
        "png_width": _png_width,
        "score_lines": _score_lines,
        "sentence": lambda text: text[0].upper() + text[1:],
    }
    return environment


def escape(text: object) -> str:
    """Returns `text`, one line of it, such that Markdown shows it as it is."""
    if isinstance(text, Markup):
        return text
    return Markup(_SPECIAL.sub(lambda special: "\\" + special[0], str(text)))


def _score_lines(table: Table) -> list[list[str]]:
    """Returns the table in percent, the best number of each column in bold."""
    lines = [["", *(column.label for column in table.columns)]]
    for row in table.rows:
        numbers = [
            Markup(f"**{shown(cell)}**") if cell and cell.is_best else shown(cell)
            for cell in row.cells
        ]
        lines.append([row.full_label, *numbers])
    if len(table.columns) > MAX_COLUMNS:
        return [list(column) for column in zip(*lines, strict=True)]
    return lines


def _pipes(lines: Sequence[Sequence[str]], rule: str) -> Markup:
    """Returns a table in Markdown."""
    header, *body = [[escape(cell) for cell in line] for line in lines]
    rules = ["---"] + [rule] * (len(header) - 1)
    rows = ("| " + " | ".join(line) + " |" for line in (header, rules, *body))
    return Markup("\n".join(rows))


def _anchors(titles: Sequence[str]) -> list[str]:
    """Returns an identifier for each title, no two alike."""
    names = (re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") for title in titles)
    # Two hyphens come from no title.
    return [
        re.sub(r" \((\d+)\)", r"--\1", name)
        for name in distinct([name or "section" for name in names])
    ]


def _data_uri(picture: Path) -> str:
    content = base64.b64encode(picture.read_bytes()).decode("ascii")
    return f"data:image/png;base64,{content}"


def _png_width(picture: Path) -> int:
    return int.from_bytes(picture.read_bytes()[_PNG_WIDTH], "big")
