"""Results of a benchmark: a Markdown table on the screen, JSON in a file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from amber_jax.files import new_file

Row = Mapping[str, Any]  # column -> value; every row of a table has the same columns


def define_flag() -> None:
    """Makes --json=FILE a flag of the program."""
    flags.DEFINE_string("json", None, "write the tables here as well")


def table(rows: Sequence[Row]) -> str:
    """Returns rows as a Markdown table; numbers stand right, to three digits."""
    columns = list(rows[0])
    cells = [columns, *([_text(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    left = [isinstance(rows[0][column], str) for column in columns]
    rule = [
        "-" * width if is_left else "-" * (width - 1) + ":"
        for width, is_left in zip(widths, left, strict=True)
    ]
    lines = [
        [
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(line, widths, left, strict=True)
        ]
        for line in (cells[0], rule, *cells[1:])
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def show(tables: Mapping[str, Sequence[Row]], path: str | None) -> None:
    """Prints every table under its title; writes {title: rows} to `path`, if any."""
    for title, rows in tables.items():
        print(f"\n{title}\n\n{table(rows)}")
    if path is None:
        return
    with new_file(Path(path), "give --json= a file in a folder that exists") as file:
        file.write(f"{json.dumps(tables, indent=1)}\n".encode())


def _text(value: Any) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
