"""A report as one HTML file that needs nothing else: style and pictures are inside."""

import base64
import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from amber_jax.report.document import (
    Block,
    Bullets,
    Document,
    Facts,
    Paragraph,
    Picture,
)
from amber_jax.report.style_sheet import STYLE_SHEET
from amber_jax.report.tables import PUBLISHED_ROW, Cell, Row, Table, best_cells, shown

_PNG_WIDTH = slice(16, 20)  # where a PNG file tells it, big-endian
_SCALE = 0.7  # CSS pixels for a picture's; screens of phones have more of the latter


def to_html(document: Document) -> str:
    """Returns the page. Raises OSError if a picture cannot be read."""
    names = _anchors([section.title for section in document.sections])
    contents = "".join(
        f'<li><a href="#{name}">{escape(section.title)}</a></li>\n'
        for name, section in zip(names, document.sections, strict=True)
    )
    sections = "".join(
        f'<section id="{name}">\n<h2>{escape(section.title)}</h2>\n'
        + "".join(_block(block) for block in section.blocks)
        + "</section>\n"
        for name, section in zip(names, document.sections, strict=True)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(document.title)}</title>\n"
        f"<style>\n{STYLE_SHEET}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(document.title)}</h1></header>\n"
        f'<nav aria-label="Contents"><ol>\n{contents}</ol></nav>\n'
        f"<main>\n{sections}</main>\n</body>\n</html>\n"
    )


def _anchors(titles: Sequence[str]) -> list[str]:
    """Returns an identifier for each title, no two alike."""
    taken: Counter[str] = Counter()
    anchors = []
    for title in titles:
        name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        taken[name] += 1
        # Two hyphens come from no title.
        anchors.append(name if taken[name] == 1 else f"{name}--{taken[name]}")
    return anchors


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{escape(text)}</p>\n"
        case Bullets(items):
            return _bullets(items)
        case Facts(header, rows):
            return _facts(header, rows)
        case Picture():
            return _picture(block)
        case Table():
            return _table(block)


def _bullets(items: Sequence[str], name: str = "") -> str:
    if not items:
        return ""
    lines = "".join(f"<li>{escape(item)}</li>\n" for item in items)
    return f'<ul class="{name}">\n{lines}</ul>\n'


def _facts(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        + "</tr>\n"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="facts">\n{_head(header)}'
        f"<tbody>\n{body}</tbody>\n</table></div>\n"
    )


def _head(labels: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col">{escape(label)}</th>' for label in labels)
    return f"<thead><tr>{cells}</tr></thead>\n"


def _picture(picture: Picture) -> str:
    content = Path(picture.path).read_bytes()
    width = round(_SCALE * int.from_bytes(content[_PNG_WIDTH], "big"))
    return (
        f'<figure><div class="scroll" tabindex="0"><img alt="{escape(picture.title)}" '
        f'style="--width: {width}px" src="data:image/png;base64,'
        f'{base64.b64encode(content).decode("ascii")}"></div>\n'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>\n"
    )


def _table(table: Table) -> str:
    best = best_cells(table)
    body, kind = "", ""
    for place, row in enumerate(table.rows):
        if row.kind != kind:
            body += f'{"</tbody>" if kind else ""}<tbody class="{row.kind}">\n'
            body += _group(row.kind, len(table.columns))
            kind = row.kind
        bold = {number for at, number in best if at == place}
        body += _row(table, row, bold)
    measure = table.measure[0].upper() + table.measure[1:]
    return (
        '<div class="scroll" tabindex="0"><table class="scores">\n'
        f"<caption>{escape(measure)}</caption>\n"
        f"{_head(['', *(column.label for column in table.columns)])}"
        f"{body}</tbody>\n</table></div>\n"
        f"{_bullets(table.warnings, 'warnings')}{_bullets(table.notes, 'notes')}"
        f"{_explanation(table.explanation)}"
    )


def _group(kind: str, columns: int) -> str:
    """Returns the line above the published rows."""
    if kind != PUBLISHED_ROW:
        return ""
    return (
        f'<tr class="group"><th scope="rowgroup">Published</th>'
        f'<td colspan="{columns}"></td></tr>\n'
    )


def _row(table: Table, row: Row, bold: set[int]) -> str:
    cells = "".join(
        f"<td{'' if len(column.languages) == 1 else _AVERAGE}>"
        f"{_cell(cell, is_best=number in bold)}</td>"
        for number, (cell, column) in enumerate(
            zip(row.cells, table.columns, strict=True)
        )
    )
    return f'<tr><th scope="row">{escape(row.label)}</th>{cells}</tr>\n'


_AVERAGE = ' class="average"'


def _cell(cell: Cell | None, *, is_best: bool) -> str:
    number, _, spread = shown(cell).partition(" ± ")
    text = f"<b>{escape(number)}</b>" if is_best else escape(number)
    return text + (f"<small>± {escape(spread)}</small>" if spread else "")


def _explanation(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    return (
        "<details><summary>How to read this table</summary>\n"
        f"{_bullets(sentences)}</details>\n"
    )
