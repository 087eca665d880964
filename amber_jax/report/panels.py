"""What one pair of axes shows: curves, a heat map, or sentence vectors.

Every function draws into the axes it is given and returns nothing; `figures` arranges
them on pages. Colors are Okabe & Ito's, told apart by color-blind readers too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib import font_manager, ft2font
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from amber_jax.report.inputs import Run

# Source: Okabe & Ito 2008, "Color Universal Design".
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*X<>ph8dH"
INK, FAINT = "#333333", "#999999"
LABEL_LENGTH = 36  # letters; of a path the end says more than the beginning
SMOOTHING = 50  # a loss curve is a running mean over 1/50 of its points


@dataclass(frozen=True)
class Level:
    """A score that does not change with training."""

    label: str
    share: float
    line_style: str


def draw_retrieval(
    axes: Axes, runs: Sequence[Run], levels: Sequence[Level], name: str
) -> None:
    """Draws the average accuracy of evaluation `name` over steps, one line a run.

    `levels`, such as chance, are horizontal lines.
    """
    for run, color in zip(runs, run_colors(runs), strict=True):
        draw_scores(axes, run, name, color)
    for level in levels:
        axes.axhline(
            level.share,
            color=FAINT,
            linestyle=level.line_style,
            label=drawable(level.label),
            lw=1.2,
        )
    axes.set_ylim(bottom=0)
    axes.set_ylabel("sentences retrieved")
    _finish_scores(axes)


def draw_scores(axes: Axes, run: Run, name: str, color: str) -> None:
    """Draws the average of evaluation `name` over the steps of one run."""
    points = [
        (record["step"], record["average"])
        for record in run.evaluations
        if record["evaluation"] == name and record["average"] is not None
    ]
    if points:
        steps, averages = zip(*points, strict=True)
        label = drawable(run.label)
        axes.plot(steps, averages, "o-", color=color, label=label, ms=3.5)


def draw_dev_scores(axes: Axes, runs: Sequence[Run], name: str) -> None:
    """Draws evaluation `name` of fine-tuning runs; a star marks the best step of each.

    The best is the first of equals, the one that fine-tuning keeps.
    """
    for run, color in zip(runs, run_colors(runs), strict=True):
        draw_scores(axes, run, name, color)
        points = [
            (-record["average"], record["step"])
            for record in run.evaluations
            if record["evaluation"] == name and record["average"] is not None
        ]
        if points:
            best, step = min(points)
            axes.plot(step, -best, "*", color=color, ms=13, mec="white", mew=0.8)
    _finish_scores(axes)


def percent_ticks() -> FuncFormatter:
    """Returns what labels shares in percent, with the decimals that a tick has.

    0.025 -> 2.5%        0.05 -> 5%
    """
    # Ticks are sums of steps: rounding takes their last bits away, and 0 a minus.
    return FuncFormatter(lambda share, _: f"{round(100 * share, 6) + 0.0:g}%")


def _finish_scores(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(percent_ticks())
    _finish_curve(axes)


def draw_loss(axes: Axes, runs: Sequence[Run], name: str) -> None:
    """Draws loss `name` over steps: faint as measured, strong as a running mean.

    Rings mark the steps at which a run was evaluated, crosses its events.
    """
    for run, color in zip(runs, run_colors(runs), strict=True):
        points = [
            (record["step"], record[name])
            for record in run.train
            if name in record and record[name] is not None
        ]
        if points:
            steps, values = np.array(points, np.float64).T
            smooth = _running_mean(values)
            axes.plot(steps, values, color=color, alpha=0.25, lw=0.8)
            axes.plot(steps, smooth, color=color, label=drawable(run.label))
            ring = {"mfc": "white", "mec": color, "ms": 4.5}
            cross = {"mec": INK, "ms": 5}
            for records, mark, look in (
                (run.evaluations, "o", ring),
                (run.events, "x", cross),
            ):
                at = sorted({record["step"] for record in records})
                at = [step for step in at if steps[0] <= step <= steps[-1]]
                axes.plot(at, np.interp(at, steps, smooth), mark, **look)
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
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")


def marks_of_losses(runs: Sequence[Run]) -> str:
    """Returns what the marks on losses are, worded, to end a sentence."""
    marks = {
        "; rings mark evaluations": any(run.evaluations for run in runs),
        "; crosses mark events": any(run.events for run in runs),
    }
    return "".join(text for text, is_there in marks.items() if is_there)


def run_colors(runs: Sequence[Run]) -> list[str]:
    """Returns one color per run, the same in every picture."""
    return [PALETTE[index % len(PALETTE)] for index in range(len(runs))]


def draw_rates(axes: Axes, shares: Mapping[str, float], rates: Sequence[float]) -> None:
    """Draws each stream's share of the tokens, and the rate that it is drawn at.

    Args:
        axes: to draw into.
        shares: by stream.
        rates: of the same.
    """
    heights = np.arange(len(shares))
    axes.hlines(heights, [*shares.values()], rates, color=FAINT, lw=1)
    axes.plot(
        [*shares.values()], heights, "o", color=PALETTE[0], label="share of tokens"
    )
    axes.plot(rates, heights, "D", color=PALETTE[1], label="rate in training")
    axes.set_yticks(heights, [drawable(name, length=16) for name in shares])
    axes.invert_yaxis()  # the first on top
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="upper left")


def draw_heat_map(
    axes: Axes, values: np.ndarray, rows: Sequence[str], columns: Sequence[str]
) -> None:
    """Draws `values` [X, Y]; rings mark the cells greatest in their row and column.

    Args:
        axes: where to draw.
        values: [X, Y] float, larger is darker.
        rows: X words; one whose letters the font lacks is shown by its place.
        columns: Y words.
    """
    # Cosines below 0 say no more than 0; what is faint everywhere keeps its contrast.
    image = axes.imshow(values, cmap="Blues", vmin=max(0.0, float(values.min())))
    by_row = values == values.max(axis=1, keepdims=True)
    best = np.argwhere(by_row & (values == values.max(axis=0, keepdims=True)))
    size = 260 / max(values.shape)
    axes.scatter(
        best[:, 1], best[:, 0], s=size, facecolors="none", edgecolors=PALETTE[1], lw=1.5
    )
    _label_words(axes, rows, columns)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    scale = axes.inset_axes((1.03, 0, 0.035, 1))
    bar = axes.figure.colorbar(image, cax=scale, ticks=MaxNLocator(nbins=4))
    bar.outline.set_visible(False)
    scale.tick_params(length=0)


def _label_words(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    names = [_printable(word, place) for place, word in enumerate(columns)]
    axes.set_xticks(range(len(columns)), names, parse_math=False)
    size = min(10, 180 / max(len(rows), len(columns)))
    axes.tick_params(labelsize=size)
    axes.tick_params(axis="x", labelrotation=50)
    for label in axes.get_xticklabels():
        label.set(horizontalalignment="right", rotation_mode="anchor")
    names = [_printable(word, place) for place, word in enumerate(rows)]
    axes.set_yticks(range(len(rows)), names, parse_math=False)


def _printable(word: str, place: int) -> str:
    """Returns the word, or its place, 1-based, if the font lacks its letters."""
    return word if all(ord(letter) in _glyphs() for letter in word) else f"#{place + 1}"


def drawable(label: str, *, length: int = LABEL_LENGTH) -> str:
    """Returns a label that a picture can show: not long, of letters the font has."""
    known = "".join(letter if ord(letter) in _glyphs() else "□" for letter in label)
    short = known if len(known) <= length else f"…{known[1 - length :]}"
    # Legends leave out what begins with an underscore.
    return f" {short}" if short.startswith("_") else short


@cache
def _glyphs() -> frozenset[int]:
    """Returns the code points that the font of the pictures can draw."""
    path = font_manager.findfont(font_manager.FontProperties())
    return frozenset(ft2font.FT2Font(path).get_charmap())


def draw_vectors(
    axes: Axes, vectors: np.ndarray, meaning: np.ndarray, language: np.ndarray
) -> None:
    """Draws vectors in two dimensions: color and star = meaning, marker = language.

    Args:
        axes: where to draw.
        vectors: [M, D] sentence vectors.
        meaning: [M] int, equal for translations.
        language: [M] str.
    """
    points = principal_components(vectors)
    for index, value in enumerate(np.unique(meaning)):
        color = PALETTE[index % len(PALETTE)]
        members = meaning == value
        center = points[members].mean(axis=0)
        for point, name in zip(points[members], language[members], strict=True):
            axes.plot(*zip(center, point, strict=True), color=color, lw=0.8, alpha=0.4)
            marker = language_markers(language)[str(name)]
            style = {"color": color, "markeredgecolor": "white", "mew": 0.6}
            axes.plot(*point, marker=marker, ms=7, **style)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.08)
    axes.spines[:].set(visible=True, color="#D0D0D0")
    keys = [
        Line2D([], [], ls="", marker=marker, color=INK, label=drawable(name), ms=6)
        for name, marker in language_markers(language).items()
    ]
    axes.legend(
        handles=keys,
        ncols=1 + len(keys) // 16,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        handletextpad=0.2,
    )


def language_markers(language: np.ndarray) -> dict[str, str]:
    """Returns one marker per language, in alphabetical order."""
    names = [str(name) for name in np.unique(language)]
    return {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(names)}


def principal_components(vectors: np.ndarray) -> np.ndarray:
    """Returns the two directions of largest variance, [M, D] -> [M, 2]."""
    centered = vectors - vectors.mean(axis=0, keepdims=True)
    left, scales, _ = np.linalg.svd(centered.astype(np.float64), full_matrices=False)
    plane = (left * scales)[:, :2]
    return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))
