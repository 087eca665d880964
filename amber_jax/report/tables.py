"""Tables of scores: models down, languages and averages across.

A column is a metric and a set of languages, and a row has a number in it only if it has
one in every language of that set: no average is formed over unlike sets.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from amber_jax.report.grouping import OTHER_TEST, Entry, EvaluationSet, distinct
from amber_jax.report.notes import ABSENT, COLLAPSED, explanation, notes, warnings
from amber_jax.report.published import PUBLISHED, comparable_languages
from amber_jax.tasks import (
    BOTH,
    DIRECTIONS,
    PAIRS,
    RETRIEVAL,
    TAGS,
    TASKS,
    TRANSLATED,
    WORD_ALIGNMENT,
)

BASELINE, MEASURED, PUBLISHED_ROW = "baseline", "measured", "published"
LOWER_IS_BETTER = frozenset({"aer"})
_Shares = dict[str, dict[str, float]]  # metric or model -> language -> share


@dataclass(frozen=True)
class Column:
    """One metric, averaged over a set of languages; a single one is that language."""

    label: str
    metric: str
    languages: frozenset[str]


@dataclass(frozen=True)
class Cell:
    """A share in [0, 1]."""

    share: float
    spread: float | None = None  # sample standard deviation over the seeds
    collapsed: bool = False  # one constant prediction in one of the languages
    is_best: bool = False  # of its column, published rows aside


@dataclass(frozen=True)
class Row:
    """One model or baseline; None where there is no number."""

    label: str
    kind: str  # BASELINE, MEASURED or PUBLISHED_ROW
    cells: list[Cell | None]

    @property
    def full_label(self) -> str:
        """The label where nothing else tells that the row is a published one."""
        return f"{self.label}, published" if self.kind == PUBLISHED_ROW else self.label


@dataclass(frozen=True)
class Table:
    """Rows in reading order: baselines, models as they were given, published ones."""

    title: str
    measure: str  # what the numbers are, such as "accuracy in %"
    columns: list[Column]
    rows: list[Row]
    explanation: list[str] = field(default_factory=list)  # how to read it
    notes: list[str] = field(default_factory=list)  # what its columns and signs mean
    warnings: list[str] = field(default_factory=list)  # what to mind about the models


@dataclass(frozen=True)
class View:
    """One way to look at an evaluation set."""

    metric: str
    measure: str
    averages: tuple[str, ...] = ()  # more metrics, as averages only
    only_beside_published: bool = False


_VIEWS = {  # by kind of task
    TAGS: (View("f1", "F1 in %"), View("accuracy", "token accuracy in %")),
    PAIRS: (View("accuracy", "accuracy in %", averages=(TRANSLATED,)),),
    RETRIEVAL: (
        View(BOTH, "accuracy in %", averages=DIRECTIONS),
        View("xx_to_en", "accuracy in %, xx→en", only_beside_published=True),
    ),
    WORD_ALIGNMENT: (
        View(
            "aer",
            "error rate (AER) in %, lower is better",
            averages=TASKS[WORD_ALIGNMENT].metrics[1:],
        ),
    ),
}
_WORDS = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    TRANSLATED: "without NS",
}


@dataclass(frozen=True)
class _Source:
    """Where a row's numbers come from: shares by metric and language, one a seed."""

    label: str
    kind: str
    shares: Mapping[str, Mapping[str, Sequence[float]]]
    printed: Mapping[frozenset[str], float] = field(default_factory=dict)
    collapsed: frozenset[str] = frozenset()

    def cell(self, column: Column) -> Cell | None:
        """Returns the row's cell in `column`."""
        if column.metric not in self.shares:
            return None
        if column.languages in self.printed:
            return Cell(self.printed[column.languages])
        shares = self.shares[column.metric]
        if not column.languages <= shares.keys():
            return None
        by_seed = zip(*(shares[name] for name in column.languages), strict=True)
        means = [statistics.fmean(seed) for seed in by_seed]
        return Cell(
            statistics.fmean(means),
            statistics.stdev(means) if len(means) > 1 else None,
            collapsed=bool(column.languages & self.collapsed),
        )


def shown(cell: Cell | None, *, with_spread: bool = True) -> str:
    """Returns a cell as text in percent, such as `71.6`, `71.6 ± 0.4` or `33.3†`."""
    if cell is None:
        return ABSENT
    is_spread = with_spread and cell.spread is not None
    spread = f" ± {100 * cell.spread:.1f}" if is_spread else ""
    return f"{100 * cell.share:.1f}{spread}{COLLAPSED if cell.collapsed else ''}"


def build_tables(evaluation: EvaluationSet, *, published: bool = True) -> list[Table]:
    """Returns the tables of an evaluation set, the one of its headline metric first.

    Args:
        evaluation: the models.
        published: whether the paper's numbers stand beside theirs.
    """
    views = _VIEWS[TASKS[evaluation.task].kind]
    tables = (_table(evaluation, view, published) for view in views)
    return [table for table in tables if table is not None]


def _table(evaluation: EvaluationSet, view: View, published: bool) -> Table | None:
    alike = frozenset[str]()
    if (
        published
        and evaluation.task in PUBLISHED
        and PUBLISHED[evaluation.task].metric == view.metric
    ):
        alike = comparable_languages(
            evaluation.task,
            evaluation.name,
            pivot=evaluation.pivot,
            sizes=evaluation.sizes,
        )
    if view.only_beside_published and not alike:
        return None
    columns = _columns(evaluation, view, alike)
    sources = [
        *_baselines(evaluation, view),
        *(_measured(entry) for entry in evaluation.entries),
        *(_published(evaluation.task, alike) if alike else ()),
    ]
    rows = [
        Row(source.label, source.kind, [source.cell(column) for column in columns])
        for source in sources
    ]
    return Table(
        title=evaluation.title,
        measure=view.measure + (f" {OTHER_TEST}" if evaluation.other_tests else ""),
        columns=columns,
        rows=_with_best(columns, [row for row in rows if any(row.cells)]),
        explanation=explanation(evaluation, view.metric, alike),
        notes=notes(evaluation, _averaged_sets(evaluation, alike)),
        warnings=warnings(evaluation),
    )


def _with_best(columns: Sequence[Column], rows: Sequence[Row]) -> list[Row]:
    """Returns the rows with the best number of each column marked."""
    tops = []
    for number, column in enumerate(columns):
        choose = min if column.metric in LOWER_IS_BETTER else max
        cells = (row.cells[number] for row in rows if row.kind != PUBLISHED_ROW)
        tops.append(choose((cell.share for cell in cells if cell), default=None))
    return [
        row
        if row.kind == PUBLISHED_ROW
        else replace(
            row,
            cells=[
                cell and replace(cell, is_best=cell.share == top)
                for cell, top in zip(row.cells, tops, strict=True)
            ],
        )
        for row in rows
    ]


def _columns(
    evaluation: EvaluationSet, view: View, alike: frozenset[str]
) -> list[Column]:
    columns = [
        Column(language, view.metric, frozenset({language}))
        for language in evaluation.languages
    ]
    sets = _averaged_sets(evaluation, alike)
    columns += [
        Column(label, view.metric, languages) for label, languages in sets.items()
    ]
    if sets:
        label, shared = next(iter(sets.items()))
        suffix = label.removeprefix("average")
        columns += [
            Column(_word(metric, evaluation.pivot) + suffix, metric, shared)
            for metric in view.averages
            if metric != TRANSLATED or evaluation.untranslated
        ]
    return columns


def _averaged_sets(
    evaluation: EvaluationSet, alike: frozenset[str]
) -> dict[str, frozenset[str]]:
    """Returns the sets of languages that are averaged over, by their columns' labels.

    First those that all models have; then, of these, those with a published number;
    then, of these, those whose published numbers are not in doubt.
    """
    shared = evaluation.shared_languages
    doubtful = PUBLISHED[evaluation.task].doubtful if alike else frozenset()
    labels: dict[str, frozenset[str]] = {}
    for languages in (shared, shared & alike, (shared & alike) - doubtful):
        least = 1 if languages == shared else 2
        if len(languages) >= least and languages not in labels.values():
            is_all = languages == frozenset(evaluation.languages)
            labels["average" if is_all else f"average of {len(languages)}"] = languages
    return labels


def _word(metric: str, pivot: str) -> str:
    directions = {"xx_to_en": f"xx→{pivot}", "en_to_xx": f"{pivot}→xx"}
    return (directions | _WORDS)[metric]


def _baselines(evaluation: EvaluationSet, view: View) -> list[_Source]:
    """Returns a row for each baseline, and one more where models disagree on it."""
    rows: list[tuple[str, _Shares]] = []
    for result in (result for entry in evaluation.entries for result in entry.results):
        baselines = result.baseline_shares()
        by_metric = {
            metric: baselines[metric]
            for metric in (view.metric, *view.averages)
            if metric in baselines
        }
        for name in dict.fromkeys(name for of in by_metric.values() for name in of):
            shares = {m: dict(of[name]) for m, of in by_metric.items() if name in of}
            alike = (row for known, row in rows if known == name)
            row = next((row for row in alike if _agree(row, shares)), None)
            if row is None:
                rows.append((name, shares))
            else:
                for metric, by_language in shares.items():
                    row.setdefault(metric, {}).update(by_language)
    labels = distinct([name.replace("_", " ") for name, _ in rows])
    return [
        _Source(label, BASELINE, {m: _one_seed(of) for m, of in shares.items()})
        for label, (_, shares) in zip(labels, rows, strict=True)
    ]


def _agree(known: _Shares, other: _Shares) -> bool:
    return all(
        known[metric][language] == share
        for metric, shares in other.items()
        if metric in known
        for language, share in shares.items()
        if language in known[metric]
    )


def _one_seed(shares: Mapping[str, float]) -> dict[str, Sequence[float]]:
    return {language: (share,) for language, share in shares.items()}


def _measured(entry: Entry) -> _Source:
    by_seed = [result.shares for result in entry.results]
    languages = by_seed[0]
    metrics = [
        metric
        for metric in next(iter(languages.values()))
        if all(
            metric in by_metric for shares in by_seed for by_metric in shares.values()
        )
    ]
    return _Source(
        label=entry.marked_label,
        kind=MEASURED,
        shares={
            metric: {
                language: [shares[language][metric] for shares in by_seed]
                for language in languages
            }
            for metric in metrics
        },
        collapsed=frozenset(
            name for result in entry.results for name in result.collapsed
        ),
    )


def _published(task: str, alike: frozenset[str]) -> list[_Source]:
    """Returns the paper's models over the languages of `alike`."""
    published = PUBLISHED[task]
    is_whole = alike == published.languages
    return [
        _Source(
            label=model,
            kind=PUBLISHED_ROW,
            shares={published.metric: _one_seed(_only(published.scores, model, alike))},
            printed={published.languages: average} if is_whole else {},
        )
        for model, average in published.averages.items()
    ]


def _only(scores: _Shares, model: str, languages: frozenset[str]) -> dict[str, float]:
    if model not in scores:  # published as an average only
        return {}
    return {name: scores[model][name] for name in languages}
