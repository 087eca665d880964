"""Sources to a corpus folder, with worker processes and the same bytes for any number.

Stages: unpack and index every input; process a hundredth of each to tell what to
expect (`accounts.py`); find what occurs again, if asked (`duplicates.py`); process
units (`units.py`); write each stream (`assembly.py`);
manifest; rename. Workers get paths and offsets and return paths and
counts, so that memory does not grow with the corpus.
"""

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amber_jax.corpora.accounts import (
    InputFacts,
    Tallies,
    Tally,
    expectation,
    expected_rows,
    held_out_facts,
    input_facts,
    left_out,
    no_text_error,
    summed,
    tally,
    without_text,
    write_inputs,
)
from amber_jax.corpora.assembly import (
    Facts,
    StoredPart,
    store_part,
    total_rejects,
    with_rates,
    write_stream,
)
from amber_jax.corpora.cleaning.libraries import require_libraries
from amber_jax.corpora.duplicates import duplicates_of, find_duplicates
from amber_jax.corpora.filters import HeldOut, held_out_sentences
from amber_jax.corpora.planning import Input, languages_of, plan_inputs
from amber_jax.corpora.processes import Mapper, Report, mapper, reported
from amber_jax.corpora.recipe import (
    Recipe,
    check_options,
    check_sources,
    recipe_fingerprint,
)
from amber_jax.corpora.records import (
    MANIFEST,
    open_corpus,
    read_manifest,
    write_manifest,
)
from amber_jax.corpora.screening import Screening, store_held_out
from amber_jax.corpora.units import BuildOptions, Part, StreamKey, Unit, process_unit
from amber_jax.errors import UserError
from amber_jax.files import publish, workplace
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import SpecialTokens, Tokenizer


@dataclass(frozen=True)
class _UnitJob:
    unit: Unit
    options: BuildOptions
    tokenizer: Path
    screening: Screening
    duplicates: Path  # of `duplicates.find_duplicates`, if that is what is asked for
    directory: Path  # for the rows


Jobs = Callable[[Unit], _UnitJob]


@dataclass(frozen=True)
class _StreamJob:
    key: StreamKey
    parts: tuple[StoredPart, ...]
    options: BuildOptions
    special: SpecialTokens
    directory: Path


def build_corpus(
    recipe: Recipe,
    output: Path,
    *,
    processes: int,
    report: Report,
    note: Callable[[str], None] = print,
) -> tuple[dict[str, Any], bool]:
    """Builds the corpus of a recipe in the folder `output`.

    Args:
        recipe: inputs, filters and shapes.
        output: is created; a finished corpus of the same recipe there is kept.
        processes: workers; 0 takes one for each core.
        report: called with (stage, done, total) as work proceeds.
        note: called with what a hundredth of the inputs lets expect.

    Returns:
        (manifest, built): `built` is False if the corpus was there already.

    Raises:
        UserError: an input cannot be used, a stream gets no text, or `output` holds
            something else.
    """
    check_options(recipe.options, processes)
    check_sources(recipe.sources)
    require_libraries(recipe.options.cleaning)
    tokenizer = load_tokenizer(recipe.tokenizer)
    check_options(recipe.options, processes, tokenizer.special.separators)
    fingerprint = recipe_fingerprint(recipe, tokenizer.fingerprint)
    if finished := _finished(output, fingerprint):
        return finished, False
    with workplace(output) as work, mapper(processes) as run:
        directory = work / "corpus"
        held_out = {
            path: held_out_sentences([path]) for path in recipe.evaluation_files
        }
        inputs, jobs = _prepare(
            recipe, frozenset().union(*held_out.values()), work, run, report
        )
        _forecast(inputs, jobs, recipe.options, run, report, note)
        _find_duplicates(inputs, jobs, run, report)
        parts, facts_of = _process(
            inputs, jobs, recipe.options, work / "rows", run, report
        )
        streams = _write_streams(
            parts, recipe.options, tokenizer.special, directory, run, report
        )
        facts_of += [
            held_out_facts(path, len(hashes)) for path, hashes in held_out.items()
        ]
        write_inputs(directory, facts_of)
        tokenizer.save(directory / "tokenizer")
        facts = _manifest(recipe.options, tokenizer, streams, fingerprint)
        manifest = write_manifest(directory, facts)
        publish(directory, output)
    return manifest, True


def _prepare(
    recipe: Recipe, held_out: HeldOut, work: Path, run: Mapper, report: Report
) -> tuple[list[Input], Jobs]:
    """Returns the inputs cut into units, and what makes a job of a unit."""
    for name in ("inputs", "rows", "corpus"):
        (work / name).mkdir()
    cleaning, paths = recipe.options.cleaning, recipe.evaluation_files
    store_held_out(work, held_out, paths, cleaning)
    inputs = plan_inputs(
        recipe.sources,
        options=recipe.options,
        directory=work / "inputs",
        mapper=run,
        report=report,
    )
    return inputs, functools.partial(
        _UnitJob,
        options=recipe.options,
        tokenizer=recipe.tokenizer,
        screening=Screening(
            recipe.options.max_line_bytes, cleaning, languages_of(inputs), work
        ),
        duplicates=work / "duplicates",
        directory=work / "rows",
    )


def _forecast(
    inputs: Sequence[Input],
    jobs: Jobs,
    options: BuildOptions,
    run: Mapper,
    report: Report,
    note: Callable[[str], None],
) -> None:
    """Tells which rows to expect; ends the build for a stream that will have none."""
    units = [unit for source in inputs for unit in source.samples]
    found = reported("sample", run(_tally_unit, map(jobs, units)), len(units), report)
    samples = [
        summed(itertools.islice(found, len(source.samples))) for source in inputs
    ]
    rows = expected_rows(inputs, samples, options)
    note(expectation(rows, options.rows_per_shard))
    if missing := without_text(inputs, samples):
        _search(missing, inputs, jobs, run, report)


def _search(
    missing: Sequence[StreamKey],
    inputs: Sequence[Input],
    jobs: Jobs,
    run: Mapper,
    report: Report,
) -> None:
    """Raises a `UserError` unless some unit has text for each of these streams."""
    still = {*missing}
    searched = [source for source in inputs if still & {*source.streams}]
    tallies = [left_out(source) for source in searched]
    owners = [
        (number, unit)
        for number, source in enumerate(searched)
        for unit in source.units
    ]
    found = run(_tally_unit, (jobs(unit) for _, unit in owners))
    found = reported("search", found, len(owners), report)
    for (number, _), of_streams in zip(owners, found, strict=True):
        tallies[number] = summed([tallies[number], of_streams])
        still -= {key for key, counts in of_streams.items() if counts.tokens}
        if not still:
            return
    raise no_text_error(sorted(still), searched, tallies)


def _find_duplicates(
    inputs: Sequence[Input], jobs: Jobs, run: Mapper, report: Report
) -> None:
    units = [unit for source in inputs for unit in source.units]
    job = jobs(units[0])
    find_duplicates(units, job.screening, job.duplicates, mapper=run, report=report)


def _process(
    inputs: Sequence[Input],
    jobs: Jobs,
    options: BuildOptions,
    rows: Path,
    run: Mapper,
    report: Report,
) -> tuple[dict[StreamKey, list[StoredPart]], list[InputFacts]]:
    """Returns the parts of each stream in order, and what each input gave."""
    units = [unit for source in inputs for unit in source.units]
    found = reported("tokenize", run(_run_unit, map(jobs, units)), len(units), report)
    parts: dict[StreamKey, list[StoredPart]] = defaultdict(list)
    facts = []
    for number, source in enumerate(inputs):
        tallies = [left_out(source)]
        for key, counts in tallies[0].items():
            part = Part.without_rows(counts.inputs, counts.rejects, options)
            parts[key].append(store_part(part, rows / f"left-out-{number}.npy"))
        for of_unit in itertools.islice(found, len(source.units)):
            for key, part in of_unit.items():
                parts[key].append(part)
                tallies.append({key: Tally(part.inputs, part.rejects)})
        facts.append(input_facts(source, summed(tallies)))
    return parts, facts


def _write_streams(
    parts: dict[StreamKey, list[StoredPart]],
    options: BuildOptions,
    special: SpecialTokens,
    directory: Path,
    run: Mapper,
    report: Report,
) -> dict[StreamKey, Facts]:
    keys = sorted(parts)
    jobs = [
        _StreamJob(key, tuple(parts[key]), options, special, directory) for key in keys
    ]
    facts = reported("write", run(_run_stream, jobs), len(jobs), report)
    return dict(zip(keys, facts, strict=True))


def _tally_unit(job: _UnitJob) -> Tallies:
    parts = _processed(job)
    return {key: tally(part, job.options.row_length) for key, part in parts.items()}


def _run_unit(job: _UnitJob) -> dict[StreamKey, StoredPart]:
    parts = _processed(job)
    prefix = job.directory / f"{job.unit.number}"
    return {
        (kind, name): store_part(part, Path(f"{prefix}-{kind}-{name}.npy"))
        for (kind, name), part in parts.items()
    }


def _processed(job: _UnitJob) -> dict[StreamKey, Part]:
    return process_unit(
        job.unit,
        job.options,
        _tokenizer(job.tokenizer),
        job.screening.load(),
        duplicates_of(job.unit, job.duplicates),
    )


def _run_stream(job: _StreamJob) -> Facts:
    return write_stream(
        job.key,
        job.parts,
        job.options,
        special=job.special,
        directory=job.directory,
    )


@functools.cache
def _tokenizer(path: Path) -> Tokenizer:
    return load_tokenizer(path)


def _finished(output: Path, recipe_id: str) -> dict[str, Any] | None:
    """Returns the manifest of a finished corpus of this recipe, if it is there."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return None
    if not (output / MANIFEST).is_file():
        raise UserError(
            f"{output}: exists and is no corpus; choose another --output or remove it"
        )
    manifest = read_manifest(output)
    if manifest.get("recipe_fingerprint") == recipe_id:
        open_corpus(output, verify=True)  # names a shard that is missing or damaged
        return manifest
    raise UserError(
        f"{output}: holds a corpus of other inputs, options or tokenizer; "
        "choose another --output or remove it"
    )


def _manifest(
    options: BuildOptions,
    tokenizer: Tokenizer,
    streams: dict[StreamKey, Facts],
    recipe_id: str,
) -> dict[str, Any]:
    rejects = total_rejects(streams.values())
    separators = tokenizer.special.separators
    return {
        "row_length": options.row_length,
        "max_pairs": options.max_pairs,
        "rows_per_shard": options.rows_per_shard,
        "vocab_size": tokenizer.vocab_size,
        "tokenizer_fingerprint": tokenizer.fingerprint,
        **({"separators": separators} if separators != 1 else {}),
        "recipe_fingerprint": recipe_id,
        "rejects": rejects,
        "excluded_evaluation_sentences": rejects.get("evaluation_sentence", 0),
        "streams": with_rates(streams, options.alpha),
    }
