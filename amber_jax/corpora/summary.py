"""What a build shows on the terminal: progress while it runs, a table at the end."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from amber_jax.corpora.accounts import InputFacts, listed
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


def summary(
    manifest: Mapping[str, Any],
    inputs: Sequence[InputFacts],
    left_files: Sequence[str] = (),
) -> Group:
    """Returns the inputs of a corpus, the streams of its manifest, and its totals.

    Args:
        manifest: what `build_corpus` wrote.
        inputs: what each input gave; none for a corpus that does not tell.
        left_files: names of files beside the inputs that are no text.
    """
    left = [*left_files, *(name for facts in inputs for name in facts.left_files)]
    empty = [_name(facts) for facts in inputs if not facts.kept]
    return Group(
        *([_inputs(inputs)] if inputs else []),
        _streams(manifest),
        f"rejected: {listed(manifest['rejects']) or 'nothing'}",
        f"evaluation sentences kept out: {manifest['excluded_evaluation_sentences']:,}",
        *([f"inputs that gave nothing: {', '.join(empty)}"] if empty else []),
        *([f"not read: {escape(', '.join(left))}"] if left else []),
    )


def _inputs(inputs: Sequence[InputFacts]) -> Table:
    table = Table("input", "kind", "streams")
    for heading in ("lines", "kept"):
        table.add_column(heading, justify="right")
    table.add_column("rejected")
    for facts in inputs:
        counts = dict(facts.rejects)
        if facts.unknown_entities:
            counts["unknown entities made spaces"] = facts.unknown_entities
        table.add_row(
            _name(facts),
            facts.kind,
            ", ".join(facts.streams),
            f"{facts.lines:,}",
            f"{facts.kept:,}",
            listed(counts),
        )
    return table


def _name(facts: InputFacts) -> str:
    first, *others = facts.files
    if len(others) > 2:
        others = [f"{len(others)} others"]
    return escape(" and ".join((first, *others)))


def _streams(manifest: Mapping[str, Any]) -> Table:
    table = Table("kind", "stream")
    for heading in _RIGHT:
        table.add_column(heading, justify="right")
    table.add_column("rejected")
    for kind, streams in manifest["streams"].items():
        for name, facts in streams.items():
            table.add_row(kind, name, *_cells(facts, manifest["row_length"]))
    return table


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
        listed(rejects),
    )
