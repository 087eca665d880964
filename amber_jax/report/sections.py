"""What a report says, in reading order: tables, pictures, and where they came from.

All text is plain text: who writes a page escapes it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amber_jax.evaluation.results import Result
from amber_jax.report.grouping import MARK, OTHER_TEST, Entry, EvaluationSet
from amber_jax.report.inputs import Run
from amber_jax.report.tables import Table

LANGUAGES = "languages"  # begins the names of the pictures of one evaluation set each
_LAST_EVENTS = 20
Scores = Sequence[tuple[EvaluationSet, Sequence[Table]]]


@dataclass(frozen=True)
class Picture:
    """Panels side by side, each a PNG file."""

    title: str
    caption: str
    panels: Sequence[tuple[str, Path]]  # with their titles
    columns: int  # where there is room


@dataclass(frozen=True)
class Facts:
    """A table of words."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    facts: Sequence[Facts] = ()
    pictures: Sequence[Picture] = ()


def build_sections(
    scores: Scores, pictures: Mapping[str, Picture], runs: Sequence[Run]
) -> list[Section]:
    """Returns the report.

    Args:
        scores: the evaluation sets, each with its tables.
        pictures: by name, as `figures.write_figures` returns them, overview first.
        runs: whose events are listed.
    """
    others = {
        name: Section(picture.title, pictures=[picture])
        for name, picture in pictures.items()
        if not name.startswith(LANGUAGES)
    }
    overview = [others.pop(name) for name in ("overview",) if name in others]
    evaluations = [
        Section(
            evaluation.title,
            tables=tables,
            pictures=[pictures[f"{LANGUAGES} {evaluation.title}"]],
        )
        for evaluation, tables in scores
    ]
    happened = [_events(runs)] if any(run.events for run in runs) else []
    provenance = [_provenance(scores)] if scores else []
    return [*overview, *evaluations, *others.values(), *happened, *provenance]


def title_of(scores: Scores) -> str:
    """Returns a title that names the models, if they are few."""
    entries = (entry for evaluation, _ in scores for entry in evaluation.entries)
    names = list(dict.fromkeys(entry.results[0].label for entry in entries))
    if not 0 < len(names) <= 4:
        return f"Report on {len(names)} models" if names else "Report"
    *others, last = names
    return "Report on " + (f"{', '.join(others)} and {last}" if others else last)


def _events(runs: Sequence[Run]) -> Section:
    """Returns a line for each event, the last ones of a run with many."""
    rows = [
        [run.label, f"{record['step']:,}", record["event"], record["text"]]
        for run in runs
        for record in run.events[-_LAST_EVENTS:]
    ]
    return Section(
        "Events of training",
        text=f"At most the last {_LAST_EVENTS} of each run; metrics.jsonl has all.",
        facts=[Facts(("run", "step", "event", "what happened"), rows)],
    )


def _provenance(scores: Scores) -> Section:
    """Returns a line per result, in a table for each kind of task."""
    tables: dict[tuple[str, ...], list[list[str]]] = {}
    marks = set()
    for evaluation, entry, result in _results(scores):
        facts = {
            "model": entry.marked_label,
            "evaluation": evaluation.marked_title,
            **provenance(result),
            "checkpoint": result.checkpoint,  # the longest comes last
        }
        tables.setdefault(tuple(facts), []).append(list(facts.values()))
        marks |= {MARK} if result.training_remarks else set()
        marks |= {OTHER_TEST} if evaluation.other_tests else set()
    meanings = {
        MARK: "the training set was another than the benchmark's, or a part of it",
        OTHER_TEST: "a test set was not the benchmark's own",
    }
    marked = [f" {mark}: {text}." for mark, text in meanings.items() if mark in marks]
    return Section(
        "What was evaluated",
        text="One line per evaluation; of several seeds, one line each."
        + "".join(marked),
        facts=[Facts(header, rows) for header, rows in tables.items()],
    )


def _results(scores: Scores) -> Iterable[tuple[EvaluationSet, Entry, Result]]:
    for evaluation, _ in scores:
        for entry in evaluation.entries:
            for result in entry.results:
                yield evaluation, entry, result


def provenance(result: Result) -> dict[str, str]:
    """Returns what the numbers of a result depend on besides the model, worded."""
    return {
        "step": f"{result.step:,}",
        **({} if result.seed is None else {"seed": str(result.seed)}),
        **result.settings,
        **result.details,
    }
