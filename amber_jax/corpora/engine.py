"""The work that can be anywhere: inputs read and units processed, a share at a time."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amber_jax.corpora.accounts import (
    InputFacts,
    Tally,
    file_names,
    input_facts,
    left_out,
    no_text_error,
    summed,
)
from amber_jax.corpora.duplicates import find_duplicates
from amber_jax.corpora.filters import held_out_sentences
from amber_jax.corpora.parts import (
    StoredPart,
    UnitJob,
    run_unit,
    store_part,
    stored_parts,
)
from amber_jax.corpora.planning import Input, own_units, plan_inputs
from amber_jax.corpora.processes import Mapper, Report, reported
from amber_jax.corpora.recipe import Recipe
from amber_jax.corpora.screening import Screening, store_held_out
from amber_jax.corpora.sources import source_files
from amber_jax.corpora.unit_rows import BuildOptions, Part
from amber_jax.corpora.units import StreamKey, Unit
from amber_jax.corpora.work import DUPLICATES, Share, WorkFolder
from amber_jax.errors import UserError
from amber_jax.tokenization.tokenizer import Tokenizer

Note = Callable[[str], None]
Parts = dict[StreamKey, list[StoredPart]]


@dataclass(frozen=True)
class Build:
    """What stays the same while a corpus is built."""

    recipe: Recipe
    work: WorkFolder
    tokenizer: Tokenizer
    held_out: dict[Path, frozenset[int]]  # of each file of evaluation sentences
    screening: Screening
    duplicates: Path  # where it is decided what occurs again, if that is asked for
    names: Mapping[Path, str]  # what the input and evaluation files are called
    run: Mapper
    report: Report
    note: Note

    @property
    def options(self) -> BuildOptions:
        """Every number that shapes the corpus."""
        return self.recipe.options

    def job(self, unit: Unit, folder: str = "rows") -> UnitJob:
        """Returns what a worker needs to process a unit, or a sample of it."""
        return UnitJob(
            unit,
            self.options,
            tokenizer=self.recipe.tokenizer,
            screening=self.screening,
            duplicates=self.duplicates,
            directory=self.work.directory / folder,
        )


def begin_build(
    recipe: Recipe,
    tokenizer: Tokenizer,
    work: WorkFolder,
    run: Mapper,
    report: Report,
    note: Note,
    duplicates: Path | None = None,
) -> Build:
    """Returns a build whose evaluation sentences stand in the work folder.

    Args:
        recipe: what to build.
        tokenizer: the recipe's.
        work: the folder.
        run: runs the work.
        report: see `processes.reported`.
        note: told what the user should know.
        duplicates: the decisions on what occurs again; None: made in the work folder.
    """
    held_out = {path: held_out_sentences([path]) for path in recipe.evaluation_files}
    cleaning = recipe.options.cleaning
    every = frozenset().union(*held_out.values())
    store_held_out(work.directory, every, recipe.evaluation_files, cleaning)
    screening = Screening(recipe.options.max_line_bytes, cleaning, work.directory)
    inputs = itertools.chain.from_iterable(map(source_files, recipe.sources))
    return Build(
        recipe,
        work,
        tokenizer,
        held_out,
        screening,
        duplicates or work.directory / DUPLICATES,
        file_names([*inputs, *recipe.evaluation_files]),
        run,
        report,
        note,
    )


def plan(build: Build, share: Share) -> list[Input]:
    """Returns the inputs of a share, see `planning.plan_inputs`."""
    return plan_inputs(
        build.recipe.sources,
        options=build.options,
        work=build.work,
        share=share,
        mapper=build.run,
        report=build.report,
    )


def decide_duplicates(build: Build, inputs: Sequence[Input]) -> None:
    """Decides what is left out of each unit of all inputs, if that is asked for."""
    find_duplicates(
        [unit for source in inputs for unit in source.units],
        build.screening,
        build.duplicates,
        mapper=build.run,
        report=build.report,
    )


def process_units(build: Build, inputs: Sequence[Input], share: Share) -> None:
    """Processes the units of a share that no record names yet.

    An unpacked copy of an input goes when its last unit is done.
    """
    own = own_units(inputs, share)
    units = [unit for unit in own if not build.work.record(f"rows/{unit.name}")]
    sizes = [unit.size for unit in units]
    done = build.run(run_unit, [build.job(unit) for unit in units])
    before = sum(unit.size for unit in own) - sum(sizes)
    results = reported("tokenize", done, sizes, build.report, before)
    waiting = Counter(part.path for unit in units for part in unit.slices)
    for unit, _ in zip(units, results, strict=True):
        waiting.subtract(part.path for part in unit.slices)
        build.work.remove(part.path for part in unit.slices if not waiting[part.path])


def check_processed(build: Build, inputs: Sequence[Input]) -> None:
    """Raises a `UserError` if a unit of these inputs has no record."""
    units = [unit.name for source in inputs for unit in source.units]
    missing = [name for name in units if not build.work.record(f"rows/{name}")]
    if missing:
        raise UserError(
            f"no task's folder holds rows/{missing[0]}.json; {len(missing):,} of "
            f"{len(units):,} units of work are missing: remove the folders that are "
            "damaged and run these tasks again"
        )


def collect(
    build: Build, inputs: Sequence[Input], keys: Collection[StreamKey] | None = None
) -> tuple[Parts, list[InputFacts]]:
    """Returns the parts of each stream in order, and what each input gave.

    Args:
        build: whose units of these inputs are all processed.
        inputs: of a corpus.
        keys: of streams that must have text; None: all that the inputs may add to.

    Raises:
        UserError: such a stream has none.
    """
    parts: Parts = defaultdict(list)
    tallies_of, examples_of = [], []
    for number, source in enumerate(inputs):
        tallies, examples = [left_out(source)], {}
        for key, counts in tallies[0].items():
            part = Part.without_rows(counts.inputs, counts.rejects, build.options)
            file = build.work.directory / "rows" / f"left-out-{number}.npy"
            parts[key].append(store_part(part, file))
        for unit in source.units:
            record = build.work.existing(f"rows/{unit.name}")
            of_unit, lines = stored_parts(record)
            examples |= lines
            for key, part in of_unit.items():
                parts[key].append(part)
                tallies.append({key: Tally(part.inputs, part.rejects)})
        tallies_of.append(summed(tallies))
        examples_of.append(examples)
    if keys is None:
        keys = {key for source in inputs for key in source.streams}
    empty = [key for key in keys if not any(p.rows + p.left for p in parts[key])]
    if empty:
        raise no_text_error(sorted(empty), inputs, tallies_of)
    facts = [
        input_facts(source, tallies, examples, build.names)
        for source, tallies, examples in zip(
            inputs, tallies_of, examples_of, strict=True
        )
    ]
    return parts, facts
