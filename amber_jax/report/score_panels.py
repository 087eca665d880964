"""What one pair of axes shows of scores: by language, English and others, by layer.

Every function draws into the axes it is given and returns nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from amber_jax.report.grouping import EvaluationSet
from amber_jax.report.panels import FAINT, INK, PALETTE, drawable, percent_ticks
from amber_jax.report.published import AMBER
from amber_jax.report.tables import (
    BASELINE,
    MEASURED,
    PUBLISHED_ROW,
    Cell,
    Column,
    Row,
    Table,
)

ENGLISH = "en"
_GROUP = 0.82  # of the room of a language that its bars take


def score_columns(table: Table) -> list[int]:
    """Returns the places of the columns of the headline metric."""
    metric = table.columns[0].metric
    return [i for i, column in enumerate(table.columns) if column.metric == metric]


def published_amber(table: Table) -> list[Row]:
    """Returns the row of the paper's full model, if the table has one."""
    return [
        row for row in table.rows if row.kind == PUBLISHED_ROW and row.label == AMBER
    ]


def draw_languages(axes: Axes, table: Table) -> None:
    """Draws a bar per model and language, baselines and the paper's AMBER as marks."""
    places = score_columns(table)
    measured = [row for row in table.rows if row.kind == MEASURED]
    width = _GROUP / len(measured)
    for number, row in enumerate(measured):
        offset = (number + 0.5) * width - _GROUP / 2
        style = {
            "color": PALETTE[number % len(PALETTE)],
            "hatch": "//" * (number // len(PALETTE)),
        }
        _draw_bars(axes, row, places, offset, width, style)
    for number, row in enumerate(r for r in table.rows if r.kind == BASELINE):
        style = {"color": INK, "linestyle": ("-", ":", "--")[number % 3], "lw": 1.6}
        _draw_levels(axes, row, places, style)
    for row in published_amber(table):
        _draw_diamonds(axes, row, places)
    labels = (drawable(table.columns[place].label, length=16) for place in places)
    names = [label.replace(" of ", "\nof ") for label in labels]
    axes.set_xticks(range(len(places)), names)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.yaxis.set_major_formatter(percent_ticks())
    axes.set_ylim(bottom=0)
    axes.set_ylabel(table.measure)
    axes.grid(axis="y", color="#E6E6E6", lw=0.8)
    _legend_below(axes, columns=3, distance=0.13)


def _legend_below(axes: Axes, *, columns: int, distance: float) -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -distance), ncols=columns)


def _cells(row: Row, places: Sequence[int]) -> list[tuple[int, Cell]]:
    """Returns (place along the axis, cell) where the row has a number."""
    cells = ((x, row.cells[place]) for x, place in enumerate(places))
    return [(x, cell) for x, cell in cells if cell is not None]


def _draw_bars(
    axes: Axes,
    row: Row,
    places: Sequence[int],
    offset: float,
    width: float,
    style: dict[str, str],
) -> None:
    cells = _cells(row, places)
    axes.bar(
        [x + offset for x, _ in cells],
        [cell.share for _, cell in cells],
        width * 0.92,
        label=drawable(row.full_label),
        edgecolor="white",
        linewidth=0,
        **style,
    )
    spread = [(x + offset, cell) for x, cell in cells if cell.spread is not None]
    if spread:
        axes.errorbar(
            [x for x, _ in spread],
            [cell.share for _, cell in spread],
            [cell.spread for _, cell in spread],
            fmt="none",
            ecolor=INK,
            elinewidth=1,
            capsize=2,
        )


def _draw_levels(axes: Axes, row: Row, places: Sequence[int], style: dict) -> None:
    cells = _cells(row, places)
    axes.hlines(
        [cell.share for _, cell in cells],
        [x - 0.45 for x, _ in cells],
        [x + 0.45 for x, _ in cells],
        label=drawable(row.full_label),
        **style,
    )


def _draw_diamonds(axes: Axes, row: Row, places: Sequence[int]) -> None:
    cells = _cells(row, places)
    axes.plot(
        [x for x, _ in cells],
        [cell.share for _, cell in cells],
        linestyle="",
        marker="D",
        ms=5.5,
        mfc="white",
        mec=INK,
        mew=1.3,
        label=drawable(row.full_label),
    )


@dataclass(frozen=True)
class Gap:
    """A model's score in English, and the mean of its others."""

    label: str
    english: float
    others: float
    is_measured: bool


def gaps(table: Table) -> list[Gap]:
    """Returns a gap per model and for the paper's AMBER, over the same languages.

    They are those of the last average of the table, so that published numbers and
    one's own are over the same; empty if English is not one of two or more.
    """
    places = score_columns(table)
    averages = [table.columns[i] for i in places if _is_average(table.columns[i])]
    if not averages or not averages[-1].languages > {ENGLISH}:
        return []
    wanted = averages[-1].languages
    by_language = {
        table.columns[i].label: i for i in places if table.columns[i].label in wanted
    }
    rows = [row for row in table.rows if row.kind == MEASURED]
    model_gaps = []
    for row in (*rows, *published_amber(table)):
        cells = {name: row.cells[place] for name, place in by_language.items()}
        if None not in cells.values():
            english = cells.pop(ENGLISH).share
            others = fmean(cell.share for cell in cells.values())
            model_gaps.append(
                Gap(row.full_label, english, others, row.kind == MEASURED)
            )
    return model_gaps


def _is_average(column: Column) -> bool:
    return column.languages != {column.label}


def draw_gaps(axes: Axes, model_gaps: Sequence[Gap]) -> None:
    """Draws each model's score in English and in the others, and what lies between."""
    for place, gap in enumerate(model_gaps):
        color = PALETTE[place % len(PALETTE)] if gap.is_measured else INK
        axes.plot([gap.others, gap.english], [place] * 2, color=color, alpha=0.45, lw=3)
        axes.plot(gap.english, place, "o", color=color, ms=8)
        axes.plot(gap.others, place, "o", mfc="white", mec=color, mew=1.8, ms=8)
        axes.annotate(
            f"{100 * (gap.english - gap.others):.1f}",
            ((gap.english + gap.others) / 2, place),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(model_gaps)), [drawable(gap.label) for gap in model_gaps])
    axes.set_ylim(len(model_gaps) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(percent_ticks())
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.margins(x=0.08)
    axes.grid(axis="x", color="#E6E6E6", lw=0.8)
    axes.set_xlabel("filled: English, hollow: mean of the others")


def draw_layers(axes: Axes, evaluation: EvaluationSet) -> None:
    """Draws each model's average accuracy by layer; a ring marks the layer of its row.

    Chance is a dotted line.
    """
    for number, entry in enumerate(evaluation.entries):
        result = entry.results[0]
        curve = result.layer_curve
        if not curve:
            continue
        color = PALETTE[number % len(PALETTE)]
        axes.plot(
            list(curve),
            list(curve.values()),
            "o-",
            color=color,
            ms=4,
            label=drawable(entry.label),
        )
        if result.layer in curve:
            axes.plot(
                result.layer,
                curve[result.layer],
                "o",
                mfc="none",
                mec=color,
                mew=1.6,
                ms=10,
            )
    chance = fmean(1 / size for size in evaluation.sizes.values())
    axes.axhline(chance, color=FAINT, linestyle=":", lw=1.2, label="chance")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=13, integer=True))
    axes.yaxis.set_major_formatter(percent_ticks())
    axes.set_ylim(bottom=0)
    axes.set_xlabel("layer (0: embeddings)")
    axes.set_ylabel("sentences retrieved")
    axes.grid(axis="y", color="#E6E6E6", lw=0.8)
    _legend_below(axes, columns=2, distance=0.17)
