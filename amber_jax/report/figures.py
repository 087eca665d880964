"""The pictures of a report: panels arranged on pages and written as PNG files."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from amber_jax.files import new_file
from amber_jax.report import panels, score_panels
from amber_jax.report.grouping import EvaluationSet, distinct
from amber_jax.report.inputs import Probe, Run
from amber_jax.report.sections import LANGUAGES
from amber_jax.report.tables import BASELINE, Table

CURVES = (
    *("loss", "mlm", "tlm", "sentence_alignment", "word_alignment"),
    *("word_alignment_column_share", "word_alignment_diagonal_share"),
)
TITLE_LETTERS = 9.5  # on an inch
DOTS_PER_INCH = 160
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.labelcolor": panels.INK,
    "axes.edgecolor": panels.FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": panels.INK,
    "text.parse_math": False,  # labels come from files
    "xtick.color": panels.INK,
    "ytick.color": panels.INK,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
}

Draw = Callable[[matplotlib.axes.Axes], None]
Panel = tuple[str, Draw]  # with its title
Scores = Sequence[tuple[EvaluationSet, Sequence[Table]]]


@dataclass(frozen=True)
class Page:
    """Panels of one size, arranged in columns."""

    panels: Sequence[Panel]
    columns: int = 2
    size: tuple[float, float] = (5.2, 4.1)  # inches, of one panel


def write_figures(
    directory: Path, runs: Sequence[Run], scores: Scores, probe: Probe | None
) -> dict[str, Path]:
    """Writes the pictures there is data for; returns {name: path}, overview first.

    Args:
        directory: an existing folder.
        runs: pretraining and fine-tuning.
        scores: evaluation sets with their tables; a set's picture by language is
            named `languages` and its title.
        probe: for the word and sentence pictures.
    """
    pretraining = [run for run in runs if not run.dev_metric]
    fine_tuning = [run for run in runs if run.dev_metric]
    retrieval = _retrieval_panels(pretraining, scores)
    overview = retrieval[:1]
    if probe is not None:
        overview += [_heat_map_panels(probe)[1], *_vector_panels(probe)]
    pages = {
        "overview": Page(overview, 3 if len(overview) == 3 else 2),
        **_language_pages(scores),
        "gap": _gap_page(scores),
        "layers": Page(_layer_panels(scores)),
        "retrieval": Page(retrieval),
        "losses": Page(_loss_panels(pretraining), 3),
        "finetuning": Page(_fine_tuning_panels(fine_tuning)),
    }
    if probe is not None:
        pages["alignment"] = Page(_heat_map_panels(probe))
        pages["vectors"] = Page(_vector_panels(probe))
    drawn = {name: page for name, page in pages.items() if page.panels}
    files = {
        name: directory / f"{stem}.png"
        for name, stem in zip(drawn, _stems(drawn), strict=True)
    }
    with matplotlib.rc_context(STYLE):
        for name, page in drawn.items():
            _write_page(files[name], page)
    return files


def _stems(names: Iterable[str]) -> list[str]:
    """Returns a file name for each of the names, which hold anything."""
    plain = [re.sub(r"[^a-z0-9]+", "_", name.lower())[:60].strip("_") for name in names]
    return [re.sub(r" \((\d+)\)", r"-\1", stem) for stem in distinct(plain)]


def _write_page(path: Path, page: Page) -> None:
    columns = min(page.columns, len(page.panels))
    rows = -(-len(page.panels) // columns)
    width, height = page.size
    figure = Figure((width * columns, height * rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12, wspace=0.04, hspace=0.05)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, draw) in zip(grid, page.panels, strict=False):
        draw(axes)
        axes.set_title(panels.drawable(title, length=int(TITLE_LETTERS * width)))
    for axes in grid[len(page.panels) :]:
        axes.set_visible(False)
    with new_file(path) as file:
        figure.savefig(file, format="png", dpi=DOTS_PER_INCH, facecolor="white")


def _language_pages(scores: Scores) -> dict[str, Page]:
    """Returns a page for each evaluation set, wide enough for its bars."""
    pages = {}
    for evaluation, tables in scores:
        with_amber = [table for table in tables if score_panels.published_amber(table)]
        table = (with_amber or tables)[0]
        places = score_panels.score_columns(table)
        group = max(0.68, 0.21 * (1 + len(evaluation.entries)))
        size = (min(16.0, max(6.4, 0.7 + group * len(places))), 4.2)
        title = f"{table.title}, {table.measure}"
        panel = (title, _drawing(score_panels.draw_languages, table))
        pages[f"{LANGUAGES} {evaluation.title}"] = Page([panel], size=size)
    return pages


def _drawing(draw: Callable[..., None], *arguments: object) -> Draw:
    return lambda axes: draw(axes, *arguments)


def _gap_page(scores: Scores) -> Page:
    found = {tables[0].title: score_panels.gaps(tables[0]) for _, tables in scores}
    shown = {title: gaps for title, gaps in found.items() if gaps}
    most = max(map(len, shown.values()), default=0)
    return Page(
        [
            (title, _drawing(score_panels.draw_gaps, gaps))
            for title, gaps in shown.items()
        ],
        columns=1,
        size=(7.4, 1.3 + 0.42 * most),
    )


def _layer_panels(scores: Scores) -> list[Panel]:
    return [
        (evaluation.title, _drawing(score_panels.draw_layers, evaluation))
        for evaluation, _ in scores
        if any(entry.results[0].layers for entry in evaluation.entries)
    ]


def _retrieval_panels(runs: Sequence[Run], scores: Scores) -> list[Panel]:
    records: dict[str, list[dict]] = {}
    for record in (record for run in runs for record in run.evaluations):
        records.setdefault(record["evaluation"], []).append(record)
    return [
        (
            f"Finding translations: {name}",
            _drawing(panels.draw_retrieval, runs, _levels(scores, name, of_name), name),
        )
        for name, of_name in records.items()
    ]


def _levels(scores: Scores, name: str, records: Sequence[dict]) -> list[panels.Level]:
    """Returns what does not train, where it is over the languages of the records."""
    averaged = {key.split("/")[0] for one in records for key in one if "/" in key}
    tables = [
        (evaluation, tables[0])
        for evaluation, tables in scores
        if (evaluation.task, evaluation.name) == ("retrieval", name)
        and averaged in (set(), evaluation.shared_languages)
    ]
    if not tables:
        return []
    evaluation, table = tables[0]
    untrained = {entry.label for entry in evaluation.entries if entry.is_untrained}
    average = len(evaluation.languages)  # the first column after the languages
    return [
        panels.Level(
            row.label,
            row.cells[average].share,
            ":" if row.kind == BASELINE else "--",
        )
        for row in table.rows
        if row.kind == BASELINE or row.label in untrained
        if len(row.cells) > average and row.cells[average] is not None
    ]


def _loss_panels(runs: Sequence[Run]) -> list[Panel]:
    recorded = {
        name
        for run in runs
        for record in run.train
        for name, value in record.items()
        if value is not None
    }
    present = [name for name in CURVES if name in recorded]
    return [
        (name.replace("_", " "), _loss_drawing(runs, name, keys=index == 0))
        for index, name in enumerate(present)
    ]


def _loss_drawing(runs: Sequence[Run], name: str, *, keys: bool) -> Draw:
    def draw(axes: matplotlib.axes.Axes) -> None:
        panels.draw_loss(axes, runs, name)
        if keys:
            axes.legend(handles=panels.run_keys(runs))

    return draw


def _fine_tuning_panels(runs: Sequence[Run]) -> list[Panel]:
    """Returns the loss of each task, and beside it what its runs are chosen by."""
    found: list[Panel] = []
    for task in dict.fromkeys(run.stage for run in runs):
        of_task = [run for run in runs if run.stage == task]
        found.append((f"{task}: loss", _loss_drawing(of_task, "loss", keys=True)))
        names = dict.fromkeys(
            (record["evaluation"], run.dev_metric)
            for run in of_task
            for record in run.evaluations
        )
        found += [
            (
                f"{task}: {name}, {metric}",
                _drawing(panels.draw_dev_scores, of_task, name),
            )
            for name, metric in names
        ]
    return found


def _heat_map_panels(probe: Probe) -> list[Panel]:
    # The geometric mean is high only where both directions agree.
    agreement = np.sqrt(probe.src_to_tgt * probe.tgt_to_src.T)

    def panel(title: str, values: np.ndarray) -> Panel:
        return title, lambda axes: panels.draw_heat_map(
            axes, values, probe.src_pieces, probe.tgt_pieces
        )

    return [
        panel("Attention, both directions", agreement),
        panel("Similarity of words", probe.similarity),
    ]


def _vector_panels(probe: Probe) -> list[Panel]:
    def panel(title: str, vectors: np.ndarray, *, keys: bool) -> Panel:
        def draw(axes: matplotlib.axes.Axes) -> None:
            panels.draw_vectors(axes, vectors, probe.meaning, probe.language)
            if keys:
                _add_language_keys(axes, probe.language)

        return title, draw

    return [
        panel("Sentences before training", probe.vectors_before, keys=False),
        panel("Sentences after training", probe.vectors_after, keys=True),
    ]


def _add_language_keys(axes: matplotlib.axes.Axes, language: np.ndarray) -> None:
    keys = panels.language_keys(language)
    axes.legend(
        handles=keys,
        ncols=1 + len(keys) // 16,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        handletextpad=0.2,
    )
