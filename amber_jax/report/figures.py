"""The pictures of a report: panels arranged on pages and written as PNG files."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from amber_jax.files import new_file
from amber_jax.report import panels, score_panels
from amber_jax.report.grouping import distinct
from amber_jax.report.inputs import Probe, Run
from amber_jax.report.sections import LANGUAGES, Picture, Scores
from amber_jax.report.tables import BASELINE, Table
from amber_jax.report.words import view_words

CURVES = {  # and what to say of them where they are drawn
    "loss": "",
    "mlm": "",
    "tlm": "",
    "sentence_alignment": "",
    "word_alignment": "That of word alignment is a share.",
    "word_alignment_column_share": "The column share is how much of words' agreement "
    "stands on one source word.",
    "word_alignment_diagonal_share": "The diagonal share is how much of words' "
    "agreement stands on equal places.",
}
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

Rates = Mapping[str, Mapping[str, float]]
Panel = tuple[Any, ...]  # a title, what draws it, and what that draws besides axes


@dataclass(frozen=True)
class Page:
    """Panels of one size, and what to say of them."""

    title: str
    caption: str
    panels: Sequence[Panel]
    columns: int = 2
    size: tuple[float, float] = (5.2, 4.1)  # inches, of one panel


def write_figures(
    directory: Path, runs: Sequence[Run], scores: Scores, probe: Probe | None
) -> dict[str, Picture]:
    """Writes the pictures there is data for; returns them by name, overview first.

    Every panel is a file of its own, so that a phone can show them one by one.

    Args:
        directory: an existing folder.
        runs: pretraining and fine-tuning.
        scores: evaluation sets with their tables; a set's picture by language is
            named `languages` and its title.
        probe: for the word and sentence pictures.
    """
    pretraining = [run for run in runs if not run.dev_metric]
    fine_tuning = [run for run in runs if run.dev_metric]
    pages = {
        **_language_pages(scores),
        "gap": _gap_page(scores),
        "layers": _layer_page(scores),
        "retrieval": _retrieval_page(pretraining, scores),
        "losses": _loss_page(pretraining),
        "finetuning": _fine_tuning_page(fine_tuning),
        **({} if probe is None else _probe_pages(probe)),
    }
    drawn = {name: page for name, page in pages.items() if page.panels}
    with matplotlib.rc_context(STYLE):
        pictures = {
            name: _write_page(directory, stem, page)
            for stem, (name, page) in zip(_stems(drawn), drawn.items(), strict=True)
        }
    return _overview(pictures) | pictures


def write_rate_figures(
    directory: Path, shares: Mapping[str, Mapping[str, float]], rates: Rates
) -> dict[str, Picture]:
    """Writes a picture of the streams of each kind of a corpus; returns them by kind.

    Args:
        directory: an existing folder.
        shares: kind -> stream -> its share of the kind's tokens, in order of drawing.
        rates: kind -> stream -> the rate at which it is drawn.
    """
    title, caption = "Shares and rates", "Shares of tokens, and rates in training."
    pages = {}
    for kind, of in shares.items():
        panel = (kind, panels.draw_rates, of, [rates[kind][name] for name in of])
        size = 6.4, 1.2 + 0.22 * len(of)
        pages[kind] = Page(title, caption, [panel], size=size)
    with matplotlib.rc_context(STYLE):
        return {
            kind: _write_page(directory, f"card_{kind}", page)
            for kind, page in pages.items()
        }


def _overview(pictures: Mapping[str, Picture]) -> dict[str, Picture]:
    """Returns what a reader looks at first: panels that stand below once more."""
    if not {"retrieval", "alignment"} <= pictures.keys():
        return {}
    panels = [
        pictures["retrieval"].panels[0],
        pictures["alignment"].panels[1],
        *pictures["vectors"].panels,
    ]
    caption = "The run at a glance; each panel is explained below."
    return {"overview": Picture("Overview", caption, panels, columns=2)}


def _stems(names: Iterable[str]) -> list[str]:
    """Returns a file name for each of the names, which hold anything."""
    plain = [re.sub(r"[^a-z0-9]+", "_", name.lower())[:60].strip("_") for name in names]
    return [re.sub(r" \((\d+)\)", r"-\1", stem) for stem in distinct(plain)]


def _write_page(directory: Path, stem: str, page: Page) -> Picture:
    files = []
    for number, (title, draw, *content) in enumerate(page.panels, start=1):
        figure = Figure(page.size, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
        axes = figure.subplots()
        draw(axes, *content)
        letters = int(TITLE_LETTERS * page.size[0])
        axes.set_title(panels.drawable(title, length=letters))
        path = directory / f"{stem}{f'_{number}' if len(page.panels) > 1 else ''}.png"
        with new_file(path) as file:
            figure.savefig(file, format="png", dpi=DOTS_PER_INCH, facecolor="white")
        files.append((title, path))
    columns = min(page.columns, len(files))
    return Picture(page.title, page.caption, files, columns)


def _language_pages(scores: Scores) -> dict[str, Page]:
    """Returns a page for each evaluation set, wide enough for its bars."""
    pages = {}
    for evaluation, tables in scores:
        with_amber = [table for table in tables if score_panels.published_amber(table)]
        table = (with_amber or tables)[0]
        places = score_panels.score_columns(table)
        group = max(0.68, 0.21 * (1 + len(evaluation.entries)))
        pages[f"{LANGUAGES} {evaluation.title}"] = Page(
            f"{evaluation.title} by language",
            _language_caption(table),
            [(table.title, score_panels.draw_languages, table)],
            size=(min(16.0, max(6.4, 0.7 + group * len(places))), 4.2),
        )
    return pages


def _language_caption(table: Table) -> str:
    cells = [cell for row in table.rows for cell in row.cells if cell]
    kinds = {row.kind for row in table.rows}
    parts = [
        "a bar per model" if len(table.rows) > 1 else "the model's bars",
        "its standard deviation over seeds as a whisker"
        if any(cell.spread is not None for cell in cells)
        else "",
        "baselines as lines" if BASELINE in kinds else "",
        "the paper's AMBER as a diamond where it is comparable"
        if score_panels.published_amber(table)
        else "",
    ]
    return f"By language: {', '.join(part for part in parts if part)}."


def _gap_page(scores: Scores) -> Page:
    gaps = {tables[0].title: score_panels.gaps(tables[0]) for _, tables in scores}
    shown = {title: table for title, table in gaps.items() if table}
    most = max(map(len, shown.values()), default=0)
    return Page(
        "English and the others",
        "How far what was learned in English carries: the score in English, the mean "
        "of the other languages, and the points between them.",
        [(title, score_panels.draw_gaps, table) for title, table in shown.items()],
        columns=1,
        size=(7.4, 1.3 + 0.42 * most),
    )


def _layer_page(scores: Scores) -> Page:
    curves = [
        (evaluation.title, score_panels.draw_layers, evaluation)
        for evaluation, _ in scores
        if any(entry.results[0].layer_curve for entry in evaluation.entries)
    ]
    return Page(
        "Retrieval by layer",
        "The mean over both directions and all languages, from the output of each "
        "layer; a ring marks the layer that the table shows, a dotted line chance.",
        curves,
    )


def _retrieval_page(runs: Sequence[Run], scores: Scores) -> Page:
    records: dict[str, list[dict]] = {}
    for record in (record for run in runs for record in run.evaluations):
        records.setdefault(record["evaluation"], []).append(record)
    levels = {name: _levels(scores, name, of_name) for name, of_name in records.items()}
    styles = {level.line_style for of_name in levels.values() for level in of_name}
    still = {":": "dotted: chance", "--": "dashed: without training"}
    lines = "".join(f"; {text}" for style, text in still.items() if style in styles)
    return Page(
        "Retrieval while training",
        "How often a sentence's nearest neighbor is its translation: mean over both "
        f"directions and all languages, while training{lines}.",
        [
            (
                f"Finding translations: {name}",
                *(panels.draw_retrieval, runs, levels[name], name),
            )
            for name in records
        ],
    )


def _levels(scores: Scores, name: str, records: Sequence[dict]) -> list[panels.Level]:
    """Returns what does not train, where it is over the languages of the records."""
    averaged = {key.split("/")[0] for record in records for key in record if "/" in key}
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


def _loss_page(runs: Sequence[Run]) -> Page:
    recorded = {
        name
        for run in runs
        for record in run.train
        for name, value in record.items()
        if value is not None
    }
    drawn = {name: text for name, text in CURVES.items() if name in recorded}
    sentences = [
        "Training losses in nats, as measured (faint) and as a running mean"
        f"{panels.marks_of_losses(runs)}.",
        *(text for text in drawn.values() if text),
    ]
    return Page(
        "Losses of pretraining",
        " ".join(sentences),
        [(name.replace("_", " "), panels.draw_loss, runs, name) for name in drawn],
        columns=3,
    )


def _fine_tuning_page(runs: Sequence[Run]) -> Page:
    """Returns the loss of each task, and beside it what its runs are chosen by."""
    shown: list[Panel] = []
    for task in dict.fromkeys(run.stage for run in runs):
        of_task = [run for run in runs if run.stage == task]
        shown.append((f"{task}: loss", panels.draw_loss, of_task, "loss"))
        names = dict.fromkeys(
            (record["evaluation"], run.dev_metric)
            for run in of_task
            for record in run.evaluations
        )
        shown += [
            (f"{task}: {name}, {metric}", panels.draw_dev_scores, of_task, name)
            for name, metric in names
        ]
    return Page(
        "Fine-tuning",
        "Cross entropy in nats and the score on English dev, which alone chooses the "
        f"step{panels.marks_of_losses(runs)}; a star marks the best step.",
        shown,
    )


def _probe_pages(probe: Probe) -> dict[str, Page]:
    words = view_words(probe)
    maps = {
        "Attention, both directions": words.attention,
        "Similarity of words": words.similarity,
    }
    vectors = {
        "Sentences before training": probe.vectors_before,
        "Sentences after training": probe.vectors_after,
    }
    return {
        "alignment": Page(
            "Words",
            "One sentence pair, word by word. Attention is the geometric mean of both "
            "directions, averaged over the heads of the last layer; similarity the "
            "cosine of the words' vectors, averaged over their pieces. Rings mark "
            "cells that are greatest in their row and column.",
            [
                (title, panels.draw_heat_map, values, words.src, words.tgt)
                for title, values in maps.items()
            ],
        ),
        "vectors": Page(
            "Sentences",
            "Sentence vectors on their two principal components: one color and star "
            "per meaning, one marker per language.",
            [
                (title, panels.draw_vectors, matrix, probe.meaning, probe.language)
                for title, matrix in vectors.items()
            ],
        ),
    }
