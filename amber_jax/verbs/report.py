"""Tables, pictures, report.md and report.html of finished runs.

amber report --workdir=runs/mlm --workdir=runs/amber \
    --results=runs/mlm/results.json --results=runs/amber/results.json \
    --probe=runs/amber/probe.npz --output=runs/report

Workdirs and results are of any task and any number of models; what was measured alike
stands in one table, the seeds of a model as mean and standard deviation.
"""

from absl import flags

from amber_jax.storage import location

_WORKDIR = flags.DEFINE_multi_string("workdir", [], "folder of a run; repeatable")
_LABEL = flags.DEFINE_multi_string("label", [], "name of the workdir in its place")
_RESULTS = flags.DEFINE_multi_string("results", [], "a results.json; repeatable")
_PROBE = flags.DEFINE_string("probe", None, "a probe.npz, for the word pictures")
_OUTPUT = flags.DEFINE_string("output", None, "folder to write", required=True)


def main(_: list[str]) -> None:
    from amber_jax.report.terminal import print_tables
    from amber_jax.report.write import REPORT_FILE, WEB_PAGE_FILE, write_report

    tables = write_report(
        location(_OUTPUT.value),
        workdirs=[location(workdir) for workdir in _WORKDIR.value],
        labels=_LABEL.value,
        results=[location(file) for file in _RESULTS.value],
        probe=None if _PROBE.value is None else location(_PROBE.value),
    )
    print_tables(tables)
    for name in (REPORT_FILE, WEB_PAGE_FILE):
        print(f"written: {location(_OUTPUT.value) / name}")
