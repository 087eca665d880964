"""A report folder: read everything, then write pictures, report.md and report.html."""

from collections.abc import Sequence
from pathlib import Path

from amber_jax.errors import UserError, from_extra
from amber_jax.evaluation.results import read_results
from amber_jax.files import make_folder, write_text
from amber_jax.report.grouping import group_results
from amber_jax.report.inputs import read_probe, read_runs
from amber_jax.report.sections import build_sections, title_of
from amber_jax.report.tables import Table, build_tables
from amber_jax.storage import location

REPORT_FILE = "report.md"
WEB_PAGE_FILE = "report.html"


def write_report(
    output: Path,
    *,
    workdirs: Sequence[Path],
    labels: Sequence[str],
    results: Sequence[Path],
    probe: Path | None,
) -> list[Table]:
    """Writes report.md, its pictures and report.html; returns the tables.

    Args:
        output: the folder, made if missing; files of an earlier report are replaced.
        workdirs: folders with a metrics.jsonl, of pretraining or of fine-tuning, or
            fine-tuning's own with a folder for each seed.
        labels: names of the workdirs; none = the folders' names.
        results: results.json files, in the order of the tables' rows.
        probe: a probe.npz, for the word and sentence pictures.

    Raises:
        UserError: if there is nothing to report, an input is missing or malformed, or
            the extra `report` is not installed. Nothing has been written then.
    """
    if not (workdirs or results or probe):
        raise UserError(
            "nothing to report; give --workdir=DIR, --results=FILE or --probe=FILE"
        )
    runs = read_runs(workdirs, labels)
    read = [result for path in results for result in read_results(path)]
    arrays = None if probe is None else read_probe(probe)
    with from_extra("report", "a report is drawn with matplotlib and jinja2"):
        from amber_jax.report import figures, pages  # slow to import
    scores = [(group, build_tables(group)) for group in group_results(read)]
    output = location(output)
    make_folder(output)
    pictures = figures.write_figures(output, runs, scores, arrays)
    title, sections = title_of(scores), build_sections(scores, pictures, runs)
    write_text(output / REPORT_FILE, pages.to_markdown(title, sections))
    write_text(output / WEB_PAGE_FILE, pages.to_html(title, sections))
    return [table for _, tables in scores for table in tables]
