"""Tables, pictures, report.md and report.html of finished runs.

python launch/report.py --workdir=runs/mlm --workdir=runs/amber \
    --results=runs/mlm/results.json --results=runs/amber/results.json \
    --probe=runs/amber/probe.npz --output=runs/report

Workdirs and results are of any task and any number of models; what was measured alike
stands in one table, the seeds of a model as mean and standard deviation.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from amber_jax.commands import command_line
from amber_jax.report.terminal import print_tables
from amber_jax.report.write import REPORT_FILE, WEB_PAGE_FILE, write_report

WORKDIR = flags.DEFINE_multi_string("workdir", [], "Folder of a run; repeatable.")
LABEL = flags.DEFINE_multi_string("label", [], "Name of the workdir in its place.")
RESULTS = flags.DEFINE_multi_string("results", [], "A results.json; repeatable.")
PROBE = flags.DEFINE_string("probe", None, "A probe.npz, for the word pictures.")
OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)


def main(argv: Sequence[str]) -> None:
    del argv
    tables = write_report(
        Path(OUTPUT.value),
        workdirs=[Path(workdir) for workdir in WORKDIR.value],
        labels=LABEL.value,
        results=[Path(file) for file in RESULTS.value],
        probe=None if PROBE.value is None else Path(PROBE.value),
    )
    print_tables(tables)
    for name in (REPORT_FILE, WEB_PAGE_FILE):
        print(f"written: {Path(OUTPUT.value) / name}")


if __name__ == "__main__":
    command_line.run(main)
