"""The pictures of a report: panels arranged on pages and written as PNG files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from amber_jax.report import panels
from amber_jax.report.inputs import Probe, Result, Run

CURVES = (
    *("loss", "mlm", "tlm", "sentence_alignment", "word_alignment"),
    *("word_alignment_column_share", "word_alignment_diagonal_share"),
)
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
    "xtick.color": panels.INK,
    "ytick.color": panels.INK,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
}

Draw = Callable[[matplotlib.axes.Axes], None]


def write_figures(
    directory: Path,
    runs: Sequence[Run],
    results: Sequence[Result],
    probe: Probe | None,
) -> list[Path]:
    """Writes the pictures there is data for and returns their paths, overview first."""
    overview = _retrieval_panels(runs, results)[:1]
    pages: dict[str, tuple[list[tuple[str, Draw]], int]] = {
        "retrieval.png": (_retrieval_panels(runs, results), 2),
        "losses.png": (_loss_panels(runs), 3),
    }
    if probe is not None:
        overview += [_heat_map_panels(probe)[1], *_vector_panels(probe)]
        pages["alignment.png"] = (_heat_map_panels(probe), 2)
        pages["vectors.png"] = (_vector_panels(probe), 2)
    pages = {"overview.png": (overview, 3 if len(overview) == 3 else 2), **pages}
    drawn = {name: page for name, page in pages.items() if page[0]}
    with matplotlib.rc_context(STYLE):
        for name, (page, columns) in drawn.items():
            _write_page(directory / name, page, columns=columns)
    return [directory / name for name in drawn]


def _write_page(path: Path, page: Sequence[tuple[str, Draw]], *, columns: int) -> None:
    columns = min(columns, len(page))
    rows = -(-len(page) // columns)
    figure = Figure((5.2 * columns, 4.1 * rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12, wspace=0.04, hspace=0.05)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, draw) in zip(grid, page, strict=False):
        draw(axes)
        axes.set_title(title)
    for axes in grid[len(page) :]:
        axes.set_visible(False)
    figure.savefig(path, dpi=DOTS_PER_INCH, facecolor="white")


def _retrieval_panels(
    runs: Sequence[Run], results: Sequence[Result]
) -> list[tuple[str, Draw]]:
    names = {record["evaluation"]: None for run in runs for record in run.evaluations}

    def panel(name: str) -> tuple[str, Draw]:
        return (
            f"Finding translations: {name}",
            lambda axes: panels.draw_retrieval(axes, runs, results, name),
        )

    return [panel(name) for name in names]


def _loss_panels(runs: Sequence[Run]) -> list[tuple[str, Draw]]:
    def panel(index: int, name: str) -> tuple[str, Draw]:
        def draw(axes: matplotlib.axes.Axes) -> None:
            panels.draw_loss(axes, runs, name)
            if index == 0:
                axes.legend(handles=panels.run_keys(runs))

        return name.replace("_", " "), draw

    recorded = {
        name
        for run in runs
        for record in run.train
        for name, value in record.items()
        if value is not None
    }
    present = [name for name in CURVES if name in recorded]
    return [panel(index, name) for index, name in enumerate(present)]


def _heat_map_panels(probe: Probe) -> list[tuple[str, Draw]]:
    # The geometric mean is high only where both directions agree.
    agreement = np.sqrt(probe.src_to_tgt * probe.tgt_to_src.T)

    def panel(title: str, values: np.ndarray) -> tuple[str, Draw]:
        return title, lambda axes: panels.draw_heat_map(
            axes, values, probe.src_pieces, probe.tgt_pieces
        )

    return [
        panel("Attention, both directions", agreement),
        panel("Similarity of words", probe.similarity),
    ]


def _vector_panels(probe: Probe) -> list[tuple[str, Draw]]:
    def panel(title: str, vectors: np.ndarray, *, keys: bool) -> tuple[str, Draw]:
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
