"""Tables for a terminal."""

import io
from collections.abc import Iterator, Sequence

import rich.box
import rich.table
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from amber_jax.evaluation.results import Result
from amber_jax.report.grouping import EvaluationSet, group_results
from amber_jax.report.sections import provenance
from amber_jax.report.tables import Table, build_tables, shown

WIDTH = 130  # characters; a wider table is turned if that makes it narrower
_ANY_WIDTH = 1000  # a narrow terminal folds lines, it loses none


def print_tables(tables: Sequence[Table]) -> None:
    """Prints the tables to stdout in percent, best in bold, with what to mind."""
    console = Console(width=_ANY_WIDTH, highlight=False)
    for table in tables:
        _print(console, table, [*table.notes, *table.warnings])


def results_as_text(results: Sequence[Result]) -> str:
    """Returns the tables of results, with all that their numbers depend on.

    Published numbers are left to a report.
    """
    console = Console(file=io.StringIO(), width=_ANY_WIDTH, highlight=False)
    for evaluation in group_results(results):
        tables = build_tables(evaluation, published=False)
        headline = tables[0]
        under = [*headline.explanation, *headline.notes, *headline.warnings]
        for table in tables[:-1]:
            _print(console, table, [])
        _print(console, tables[-1], [*_sources(evaluation), *under])
    return console.file.getvalue().rstrip("\n")


def _sources(evaluation: EvaluationSet) -> Iterator[str]:
    """Yields a sentence for each result: what its numbers depend on, its layers."""
    for entry in evaluation.entries:
        for result in entry.results:
            facts = (f"{name} {value}" for name, value in provenance(result).items())
            yield f"{entry.marked_label}: {', '.join(facts)}."
            if result.layer_curve:
                curve = result.layer_curve.items()
                shares = ", ".join(
                    f"{layer} {100 * share:.1f}" for layer, share in curve
                )
                yield f"{entry.marked_label}, both directions by layer: {shares}."


def _print(console: Console, table: Table, under: Sequence[str]) -> None:
    console.print(_to_rich(table))
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
    lines = [[Text(""), *(Text(column.label) for column in table.columns)]]
    for row in table.rows:
        cells = [
            Text(
                shown(cell, with_spread=column.label not in column.languages),
                "bold" if cell and cell.is_best else "",
            )
            for cell, column in zip(row.cells, table.columns, strict=True)
        ]
        lines.append([Text(row.full_label), *cells])
    return lines


def _width(lines: Sequence[Sequence[Text]]) -> int:
    """Returns the characters of a printed line."""
    widest = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return sum(width + 3 for width in widest)
