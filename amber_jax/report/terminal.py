"""Tables for a terminal."""

from collections.abc import Sequence

import rich.box
import rich.table
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from amber_jax.report.tables import Table, best_cells, shown

WIDTH = 130  # characters; a wider table is turned if that makes it narrower
_ANY_WIDTH = 1000  # a narrow terminal folds lines, it loses none


def print_tables(tables: Sequence[Table]) -> None:
    """Prints the tables to stdout in percent, best in bold, with what to mind."""
    console = Console(width=_ANY_WIDTH, highlight=False)
    for table in tables:
        console.print(_to_rich(table))
        under = [*table.notes, *table.warnings]
        for sentence in under:
            console.print(f" {escape(sentence)}")
        if under:
            console.print()


def _to_rich(table: Table) -> rich.table.Table:
    lines = _lines(table)
    turned = [list(column) for column in zip(*lines, strict=True)]
    if _width(turned) < _width(lines) > WIDTH:
        lines = turned
    header, *body = lines
    printed = rich.table.Table(
        title=escape(f"{table.title}, {table.measure}"),
        title_justify="left",
        box=rich.box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for number, name in enumerate(header):
        printed.add_column(name, justify="right" if number else "left")
    for line in body:
        printed.add_row(*line)
    return printed


def _lines(table: Table) -> list[list[Text]]:
    """Returns header and rows; of the spreads only those of averages, for room."""
    best = best_cells(table)
    lines = [[Text(""), *(Text(column.label) for column in table.columns)]]
    for place, row in enumerate(table.rows):
        cells = [
            Text(
                shown(cell, with_spread=column.label not in column.languages),
                "bold" if (place, number) in best else "",
            )
            for number, (cell, column) in enumerate(
                zip(row.cells, table.columns, strict=True)
            )
        ]
        lines.append([Text(row.full_label), *cells])
    return lines


def _width(lines: Sequence[Sequence[Text]]) -> int:
    """Returns the characters of a printed line."""
    widest = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return sum(width + 3 for width in widest)
