"""A report as Markdown, with its pictures beside it."""

import re
from collections.abc import Sequence

from amber_jax.report.document import (
    Block,
    Bullets,
    Document,
    Facts,
    Paragraph,
    Picture,
)
from amber_jax.report.tables import Table, best_cells, shown

MAX_COLUMNS = 24  # with more of them a table is turned, languages down
# "_" means something only at the border of a word, and a file name is full of them.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~#&$!]|\b_|_\b")


def to_markdown(document: Document) -> str:
    """Returns the page; the pictures are linked by their names."""
    parts = [f"# {escape(document.title)}"]
    for section in document.sections:
        parts.append(f"## {escape(section.title)}")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Returns `text`, one line of it, such that Markdown shows it as it is."""
    return _SPECIAL.sub(lambda found: "\\" + found[0], text)


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return escape(text)
        case Bullets(items):
            return "\n".join(f"- {escape(item)}" for item in items)
        case Facts(header, rows):
            cells = [[escape(cell) for cell in row] for row in (header, *rows)]
            return _lines(cells, "---")
        case Picture(path, title, caption):
            return f"![{escape(title)}]({path.name})\n\n{escape(caption)}"
        case Table():
            return table_to_markdown(block)


def table_to_markdown(table: Table) -> str:
    """Returns the table in percent, the best number of each column in bold."""
    best = best_cells(table)
    cells = [["", *(escape(column.label) for column in table.columns)]]
    for place, row in enumerate(table.rows):
        numbers = [
            f"**{shown(cell)}**" if (place, number) in best else shown(cell)
            for number, cell in enumerate(row.cells)
        ]
        cells.append([escape(row.full_label), *numbers])
    if len(table.columns) > MAX_COLUMNS:
        cells = [list(column) for column in zip(*cells, strict=True)]
    explained = "\n".join(
        f"- {escape(one)}"
        for one in (*table.explanation, *table.notes, *table.warnings)
    )
    measure = table.measure[0].upper() + table.measure[1:]
    return f"{escape(measure)}:\n\n{_lines(cells, '---:')}\n\n{explained}".rstrip()


def _lines(cells: Sequence[Sequence[str]], rule: str) -> str:
    header, *body = cells
    rules = ["---"] + [rule] * (len(header) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rules, *body))
