"""What one pair of axes shows: curves, a heat map, or sentence vectors.

Every function draws into the axes it is given and returns nothing; `figures` arranges
them on pages. Colours are Okabe & Ito's, told apart by colour-blind readers too.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from matplotlib import font_manager, ft2font
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from amber_jax.report.inputs import Result, Run
from amber_jax.report.tables import chance_average

# Source: Okabe & Ito 2008, "Color Universal Design".
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*X<>ph8dH"
INK, FAINT = "#333333", "#999999"
SMOOTHING = 50  # a loss curve is a running mean over 1/50 of its points


def draw_retrieval(
    axes: Axes, runs: Sequence[Run], results: Sequence[Result], name: str
) -> None:
    """Draws the average accuracy of evaluation `name` over steps, one line a run.

    Chance, and untrained models among the results, are horizontal lines.
    """
    for run, colour in zip(runs, run_colours(runs), strict=True):
        points = [
            (record["step"], record["average"])
            for record in run.evaluations
            if record["evaluation"] == name and record["average"] is not None
        ]
        if points:
            steps, averages = zip(*points, strict=True)
            axes.plot(steps, averages, "o-", color=colour, label=run.label, ms=3.5)
    for label, average, style in _levels(results, name):
        axes.axhline(average, color=FAINT, linestyle=style, label=label, lw=1.2)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.set_ylim(bottom=0)
    axes.set_ylabel("sentences retrieved")
    _finish_curve(axes)
    axes.legend(loc="best")


def _levels(results: Sequence[Result], name: str) -> list[tuple[str, float, str]]:
    of_name = [result for result in results if result.name == name]
    levels = [(r.label, r.average["both"], "--") for r in of_name if r.step == 0]
    if of_name:
        levels.append(("chance", chance_average(of_name[0].candidates), ":"))
    return levels


def draw_loss(axes: Axes, runs: Sequence[Run], name: str) -> None:
    """Draws loss `name` over steps: faint as measured, strong as a running mean."""
    for run, colour in zip(runs, run_colours(runs), strict=True):
        points = [
            (record["step"], record[name])
            for record in run.train
            if name in record and record[name] is not None
        ]
        if points:
            steps, values = np.array(points, np.float64).T
            axes.plot(steps, values, color=colour, alpha=0.25, lw=0.8)
            axes.plot(steps, _running_mean(values), color=colour, label=run.label)
    _finish_curve(axes)


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Returns the mean of each value and those just before it, [n]."""
    width = max(1, len(values) // SMOOTHING)
    sums = np.concatenate([[0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _finish_curve(axes: Axes) -> None:
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.set_xlabel("step")
    axes.grid(axis="y", color="#E6E6E6", lw=0.8)


def run_colours(runs: Sequence[Run]) -> list[str]:
    """Returns one colour per run, the same in every picture."""
    return [PALETTE[index % len(PALETTE)] for index in range(len(runs))]


def run_keys(runs: Sequence[Run]) -> list[Line2D]:
    """Returns the handles of a legend that names each run's colour."""
    return [
        Line2D([], [], color=colour, label=run.label)
        for run, colour in zip(runs, run_colours(runs), strict=True)
    ]


def draw_heat_map(
    axes: Axes, values: np.ndarray, rows: Sequence[str], columns: Sequence[str]
) -> None:
    """Draws `values` [X, Y]; rings mark the cells greatest in their row and column.

    Args:
        axes: where to draw.
        values: [X, Y] float, larger is darker.
        rows: X pieces; one whose letters the font lacks is shown by its place.
        columns: Y pieces.
    """
    # Cosines below 0 say no more than 0; what is faint everywhere keeps its contrast.
    image = axes.imshow(values, cmap="Blues", vmin=max(0.0, float(values.min())))
    by_row = values == values.max(axis=1, keepdims=True)
    best = np.argwhere(by_row & (values == values.max(axis=0, keepdims=True)))
    size = 260 / max(values.shape)
    axes.scatter(
        best[:, 1], best[:, 0], s=size, facecolors="none", edgecolors=PALETTE[1], lw=1.5
    )
    _label_pieces(axes, rows, columns)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    scale = axes.inset_axes((1.03, 0, 0.035, 1))
    bar = axes.figure.colorbar(image, cax=scale, ticks=MaxNLocator(nbins=4))
    bar.outline.set_visible(False)
    scale.tick_params(length=0)


def _label_pieces(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    names = [_printable(piece, place) for place, piece in enumerate(columns)]
    axes.set_xticks(range(len(columns)), names, parse_math=False)
    size = min(10, 180 / max(len(rows), len(columns)))
    axes.tick_params(labelsize=size)
    axes.tick_params(axis="x", labelrotation=50)
    for label in axes.get_xticklabels():
        label.set(horizontalalignment="right", rotation_mode="anchor")
    names = [_printable(piece, place) for place, piece in enumerate(rows)]
    axes.set_yticks(range(len(rows)), names, parse_math=False)


def _printable(piece: str, place: int) -> str:
    """Returns the piece without its word-start mark, or its place, 1-based."""
    text = str(piece).removeprefix("▁") or str(piece)
    return text if all(ord(letter) in _glyphs() for letter in text) else f"#{place + 1}"


@cache
def _glyphs() -> frozenset[int]:
    """Returns the code points that the font of the pictures can draw."""
    path = font_manager.findfont(font_manager.FontProperties())
    return frozenset(ft2font.FT2Font(path).get_charmap())


def draw_vectors(
    axes: Axes, vectors: np.ndarray, meaning: np.ndarray, language: np.ndarray
) -> None:
    """Draws vectors in two dimensions: colour and star = meaning, marker = language.

    Args:
        axes: where to draw.
        vectors: [M, D] sentence vectors.
        meaning: [M] int, equal for translations.
        language: [M] str.
    """
    points = principal_components(vectors)
    for index, value in enumerate(np.unique(meaning)):
        colour = PALETTE[index % len(PALETTE)]
        members = meaning == value
        centre = points[members].mean(axis=0)
        for point, name in zip(points[members], language[members], strict=True):
            axes.plot(*zip(centre, point, strict=True), color=colour, lw=0.8, alpha=0.4)
            marker = language_markers(language)[str(name)]
            style = {"color": colour, "markeredgecolor": "white", "mew": 0.6}
            axes.plot(*point, marker=marker, ms=7, **style)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.08)
    axes.spines[:].set(visible=True, color="#D0D0D0")


def language_markers(language: np.ndarray) -> dict[str, str]:
    """Returns one marker per language, in alphabetical order."""
    names = [str(name) for name in np.unique(language)]
    return {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(names)}


def language_keys(language: np.ndarray) -> list[Line2D]:
    """Returns the handles of a legend that names each language's marker."""
    return [
        Line2D([], [], linestyle="", marker=marker, color=INK, label=name, ms=6)
        for name, marker in language_markers(language).items()
    ]


def principal_components(vectors: np.ndarray) -> np.ndarray:
    """Returns the two directions of largest variance, [M, D] -> [M, 2]."""
    centred = vectors - vectors.mean(axis=0, keepdims=True)
    left, scales, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    plane = (left * scales)[:, :2]
    return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))
