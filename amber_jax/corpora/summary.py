"""What a build shows on the terminal: progress while it runs, a table at the end."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.progress import Progress, TaskID
from rich.table import Table

from amber_jax.corpora.processes import Report

_RIGHT = ("rows", "pairs", "real tokens", "fill", "rate", "kept", "dropped")


@contextlib.contextmanager
def progress() -> Iterator[Report]:
    """Yields a `report(stage, done, total)` that draws one bar for each stage."""
    with Progress(transient=True) as bars:
        stages: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage)
            bars.update(stages[stage], completed=done, total=total)

        yield report


def summary(manifest: Mapping[str, Any]) -> Group:
    """Returns the streams of a manifest as a table, and its totals as one line each."""
    table = Table("kind", "stream")
    for heading in _RIGHT:
        table.add_column(heading, justify="right")
    table.add_column("rejected")
    for kind, streams in manifest["streams"].items():
        for name, facts in streams.items():
            table.add_row(kind, name, *_cells(facts, manifest["row_length"]))
    return Group(
        table,
        f"rejected: {_listed(manifest['rejects']) or 'nothing'}",
        f"evaluation sentences kept out: {manifest['excluded_evaluation_sentences']:,}",
    )


def _cells(facts: Mapping[str, Any], row_length: int) -> tuple[str, ...]:
    inputs, rejects = facts["inputs"], facts["rejects"]
    kept = 1 - sum(rejects.values()) / inputs
    return (
        f"{facts['rows']:,}",
        f"{facts['pairs']:,}",
        f"{facts['real_tokens']:,}",
        f"{facts['real_tokens'] / (facts['rows'] * row_length):.1%}",
        f"{facts['rate']:.3f}",
        f"{kept:.1%}",
        f"{facts['tail_rows_dropped']:,}",
        _listed(rejects),
    )


def _listed(rejects: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in rejects.items())
