"""What a build shows on the terminal: progress while it runs, a table at the end."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from amber_jax.corpora.accounts import InputFacts, listed
from amber_jax.corpora.dry_run import Estimate
from amber_jax.corpora.processes import Report

_LINE_SECONDS = 30
_EXAMPLES = 3  # of a reason
_EXAMPLE_WIDTH = 100  # characters
_RIGHT = ("rows", "pairs", "real tokens", "fill", "rate", "kept", "dropped")


@contextlib.contextmanager
def progress() -> Iterator[Report]:
    """Yields a `report(stage, done, total)` of bytes, with the time that is left.

    On a terminal it draws one bar for each stage, else it prints a line now and then.
    """
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), DownloadColumn()),
        *(TransferSpeedColumn(), TimeRemainingColumn()),
    )
    with Progress(*columns, transient=True) as bars:
        if not bars.console.is_terminal:
            yield _lines(bars.console.print)
            return
        stages: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage)
            bars.update(stages[stage], completed=done, total=total)

        yield report


def _lines(
    write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
) -> Report:
    """Returns a report that writes how far a stage is every `_LINE_SECONDS`."""
    began: dict[str, tuple[float, int]] = {}  # when, and what was done before
    last = clock()

    def report(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = clock()
        start, before = began.setdefault(stage, (now, done))
        if now - last < _LINE_SECONDS:
            return
        last = now
        rate = (done - before) / max(now - start, 1e-9)
        left = f", {_duration((total - done) / rate)} left" if rate else ""
        write(
            f"{stage} {done / total:.0%} of {total / 1e6:,.1f} MB, "
            f"{rate / 1e6:.2f} MB/s{left}"
        )

    return report


def _duration(seconds: float) -> str:
    """Returns "2 h 05 min", "5 min" or "12 s"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


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
        _held_out(manifest),
        *([f"inputs that gave nothing: {', '.join(empty)}"] if empty else []),
        *([f"not read: {escape(', '.join(left))}"] if left else []),
    )


def _held_out(manifest: Mapping[str, Any]) -> str:
    sentences = manifest["excluded_evaluation_sentences"]
    overlaps = manifest["rejects"].get("evaluation_overlap", 0)
    more = f", lines that hold part of one: {overlaps:,}" if overlaps else ""
    return f"evaluation sentences kept out: {sentences:,}{more}"


def outlook(estimate: Estimate, cores: Sequence[int]) -> Group:
    """Returns what a build will give and cost.

    Args:
        estimate: of `dry_run.dry_run`.
        cores: numbers of cores to tell the hours for.
    """
    kinds = Table("kind", "stream")
    for heading in ("lines", "tokens"):
        kinds.add_column(heading, justify="right")
    for (kind, name), tokens in estimate.tokens.items():
        lines = estimate.lines[kind, name]
        kinds.add_row(kind, name, f"{lines:,.0f}", f"{tokens:,.0f}")
    text = sum(source.text_bytes for source in estimate.sources)
    documents = sum(source.documents for source in estimate.sources)
    rejected = Table("rejected", "about", "examples")
    for reason, count in estimate.rejects.items():
        examples = (source.examples.get(reason, []) for source in estimate.sources)
        some = list(itertools.chain(*examples))[:_EXAMPLES]
        shown = "\n".join(repr(line[:_EXAMPLE_WIDTH]) for line in some)
        rejected.add_row(reason, f"{count:,.0f}", escape(shown))
    hours = ", ".join(
        f"{_duration(estimate.seconds / count)} on {count}" for count in cores
    )
    return Group(
        kinds,
        rejected,
        f"text: {text / 1e6:,.1f} MB, documents of running text: {documents:,.0f}",
        f"speed: {text / max(estimate.seconds, 1e-9) / 1e6:.2f} MB/s a core; {hours}",
        f"disk: corpus {estimate.corpus_bytes / 1e6:,.1f} MB, and while it is built "
        f"{estimate.scratch_bytes / 1e6:,.1f} MB more at most",
        "all of it by the beginning of each source; nothing was written",
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
