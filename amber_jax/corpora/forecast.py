"""Which rows each stream will get, told before the work begins."""

from collections.abc import Sequence

from amber_jax.corpora.accounts import (
    expectation,
    expected_rows,
    summed,
    without_text,
)
from amber_jax.corpora.engine import Build, collect, decide_duplicates, process_units
from amber_jax.corpora.parts import sample_unit, sampled_tallies
from amber_jax.corpora.planning import Input
from amber_jax.corpora.processes import reported
from amber_jax.corpora.work import Share


def forecast(build: Build, inputs: Sequence[Input]) -> None:
    """Tells which rows to expect; ends the build for a stream that will have none."""
    units = [unit for source in inputs for unit in source.samples]
    waiting = [unit for unit in units if not build.work.record(f"sampled/{unit.name}")]
    sizes = [unit.size for unit in waiting]
    before = sum(unit.size for unit in units) - sum(sizes)
    done = build.run(sample_unit, [build.job(unit, "sampled") for unit in waiting])
    for _ in reported("sample", done, sizes, build.report, before):
        pass
    samples = [
        summed(
            sampled_tallies(build.work.existing(f"sampled/{unit.name}"))
            for unit in source.samples
        )
        for source in inputs
    ]
    rows = expected_rows(inputs, samples, build.options)
    build.note(expectation(rows, build.options.rows_per_shard))
    if missing := without_text(inputs, samples):
        # Their inputs come first; all that is done here would be done anyway.
        suspects = [source for source in inputs if {*missing} & {*source.streams}]
        decide_duplicates(build, inputs)
        process_units(build, suspects, Share())
        collect(build, suspects, missing)
