"""A report folder: read everything, then write the pictures and report.md."""

from collections.abc import Sequence
from pathlib import Path

from amber_jax.errors import UserError
from amber_jax.report.inputs import (
    Probe,
    Result,
    Run,
    read_probe,
    read_results,
    read_runs,
)
from amber_jax.report.tables import ABSENT, Table, retrieval_tables, to_markdown

REPORT_FILE = "report.md"
_CAPTIONS = {
    "overview.png": "The run at a glance; each panel is explained below.",
    "retrieval.png": (
        "How often a sentence's nearest neighbour by cosine is its translation: mean "
        "over both directions and all languages, while training."
    ),
    "losses.png": (
        "Training losses in nats (word alignment: a share), as measured (faint) and "
        "as a running mean. The last two say what the word-alignment loss is doing: "
        "the share of the agreement on one source word, and on words in equal places."
    ),
    "alignment.png": (
        "One sentence pair. Left: geometric mean of the two directions of attention, "
        "averaged over the heads of the last layer. Right: cosine of the "
        "words' vectors. Rings mark cells that are greatest in their row and column."
    ),
    "vectors.png": (
        "Sentence vectors on their two principal components: one colour and star per "
        "meaning, one marker per language."
    ),
}


def write_report(
    output: Path,
    *,
    workdirs: Sequence[Path],
    labels: Sequence[str],
    results: Sequence[Path],
    probe: Path | None,
) -> list[Table]:
    """Writes report.md and its pictures into `output` and returns its tables.

    Args:
        output: the folder, made if missing; files of an earlier report are replaced.
        workdirs: folders with a metrics.jsonl.
        labels: names of the workdirs; none = the folders' names.
        results: results.json files, in the order of the tables' rows.
        probe: a probe.npz, for the word and sentence pictures.

    Raises:
        UserError: if there is nothing to report, an input is missing or malformed, or
            matplotlib is not installed. Nothing has been written then.
    """
    if not (workdirs or results or probe):
        raise UserError(
            "nothing to report; give --workdir=DIR, --results=FILE or --probe=FILE"
        )
    runs = read_runs(workdirs, labels)
    read = [result for path in results for result in read_results(path)]
    arrays = None if probe is None else read_probe(probe)
    output = Path(output)
    figures = _write_figures(output, runs, read, arrays)
    tables = retrieval_tables(read)
    page = _page(tables, read, figures)
    (output / REPORT_FILE).write_text(page, encoding="utf-8")
    return tables


def _write_figures(
    output: Path, runs: Sequence[Run], results: Sequence[Result], probe: Probe | None
) -> list[Path]:
    # matplotlib is an extra and slow to import: only here, and only when asked.
    try:
        from amber_jax.report import figures
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("matplotlib"):
            raise
        raise UserError(
            "a report needs matplotlib, which is not installed; "
            "run: pip install 'amber_jax[report]'"
        ) from error
    try:
        output.mkdir(parents=True, exist_ok=True)
        return figures.write_figures(output, runs, results, probe)
    except OSError as error:
        raise UserError(
            f"{output} cannot be written: {error.strerror}; give another --output"
        ) from error


def _page(
    tables: Sequence[Table], results: Sequence[Result], figures: Sequence[Path]
) -> str:
    parts = ["# Report"]
    first, *others = figures if figures else [None]
    parts += [_picture(first)] if first else []
    for table in tables:
        parts += [f"## {table.title}", _explanation(table), to_markdown(table)]
    if results:
        parts += ["### What was evaluated", _provenance(results)]
    for figure in others:
        parts += [f"## {figure.stem.capitalize()}", _picture(figure)]
    return "\n\n".join(parts) + "\n"


def _picture(figure: Path) -> str:
    return f"![{figure.stem}]({figure.name})\n\n{_CAPTIONS[figure.name]}"


def _explanation(table: Table) -> str:
    text = (
        "Accuracy in %. A language's number is the mean of both directions; "
        "the last three are averages over the languages."
    )
    if any(None in row for row in table.rows.values()):
        text += (
            f" {ABSENT} marks a language that a model was not evaluated on: averages "
            "of rows over different languages are not comparable."
        )
    return text


def _provenance(results: Sequence[Result]) -> str:
    lines = [
        "| model | evaluation | step | layer | pooling | special tokens | checkpoint |",
        "| --- | --- | ---: | ---: | --- | --- | --- |",
    ]
    lines += [
        f"| {r.label} | {r.name} | {r.step} | {r.layer} | {r.pooling} "
        f"| {'pooled too' if r.special_tokens else 'left out'} | `{r.checkpoint}` |"
        for r in results
    ]
    return "\n".join(lines)
