"""Retrieval results as a table: models down, languages and averages across."""

from collections.abc import Sequence
from dataclasses import dataclass

import rich.box
import rich.table
from rich.console import Console
from rich.markup import escape

from amber_jax.report.inputs import DIRECTIONS, Result

MAX_COLUMNS = 12  # languages; with more of them the table is turned
ABSENT = "–"
_ANY_WIDTH = 1000  # characters; a narrow terminal folds lines, it loses none


@dataclass(frozen=True)
class Table:
    """Cells of shares in [0, 1], None where there is no number."""

    title: str
    columns: list[str]
    rows: dict[str, list[float | None]]  # in reading order


def retrieval_tables(results: Sequence[Result]) -> list[Table]:
    """Returns one table per evaluation set, chance first, then the given order.

    A language's column is the mean of both directions; three averages follow.
    """
    names = list(dict.fromkeys(result.name for result in results))
    return [
        _retrieval_table(name, [result for result in results if result.name == name])
        for name in names
    ]


def _retrieval_table(name: str, results: Sequence[Result]) -> Table:
    languages = list(dict.fromkeys(lang for r in results for lang in r.scores))
    rows = {"chance": _chance_row(results, languages)}
    for result in results:
        rows[_free_label(result.label, rows)] = _row(result, languages)
    columns = [*languages, "average", "xx→en", "en→xx"]
    return Table(f"Retrieval, {name}", columns, rows)


def _free_label(label: str, rows: dict[str, list[float | None]]) -> str:
    labels = [label, *(f"{label} ({n})" for n in range(2, len(rows) + 2))]
    return next(free for free in labels if free not in rows)


def _row(result: Result, languages: Sequence[str]) -> list[float | None]:
    cells: list[float | None] = [
        sum(result.scores[language].values()) / len(DIRECTIONS)
        if language in result.scores
        else None
        for language in languages
    ]
    return cells + [result.average[key] for key in ("both", *DIRECTIONS)]


def _chance_row(
    results: Sequence[Result], languages: Sequence[str]
) -> list[float | None]:
    candidates = {lang: n for r in results for lang, n in r.candidates.items()}
    cells: list[float | None] = [1 / candidates[lang] for lang in languages]
    return cells + [chance_average(candidates)] * 3


def chance_average(candidates: dict[str, int]) -> float:
    """Returns the mean over languages of 1 / candidates, the score of guessing."""
    return sum(1 / n for n in candidates.values()) / len(candidates)


def to_markdown(table: Table) -> str:
    """Returns the table in percent, the best number of each column in bold."""
    header, *body = _cells(table, bold="**{}**")
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def print_tables(tables: Sequence[Table]) -> None:
    """Prints the tables to stdout at their full width, in percent, best in bold."""
    console = Console(width=_ANY_WIDTH)
    for table in tables:
        console.print(_to_rich(table))


def _to_rich(table: Table) -> rich.table.Table:
    header, *body = _cells(table, bold="[bold]{}[/]")
    printed = rich.table.Table(
        title=f"{table.title}, accuracy in %",
        title_justify="left",
        box=rich.box.SIMPLE_HEAD,
        pad_edge=False,
    )
    printed.add_column(header[0])
    for name in header[1:]:
        printed.add_column(escape(name), justify="right")
    for line in body:
        printed.add_row(escape(line[0]), *line[1:])
    return printed


def _cells(table: Table, *, bold: str) -> list[list[str]]:
    """Returns header and rows as text; turned where there are many languages."""
    best = [
        max((cell for cell in column if cell is not None), default=None)
        for column in zip(*table.rows.values(), strict=True)
    ]
    cells = [["", *table.columns]]
    for label, row in table.rows.items():
        shown = [
            bold.format(_percent(cell)) if cell == top else _percent(cell)
            for cell, top in zip(row, best, strict=True)
        ]
        cells.append([label, *shown])
    is_wide = len(table.columns) > MAX_COLUMNS + 3
    return [list(column) for column in zip(*cells, strict=True)] if is_wide else cells


def _percent(share: float | None) -> str:
    return ABSENT if share is None else f"{100 * share:.1f}"
