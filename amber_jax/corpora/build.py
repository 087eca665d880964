"""Sources to a corpus folder, with worker processes and the same bytes for any number.

Stages: unpack and index every input; process a hundredth of each to tell what to
expect (`accounts.py`); find what occurs again, if asked (`duplicates.py`); process
units (`parts.py`); write each stream (`assembly.py`); manifest; rename. Workers get
paths and offsets and leave rows and counts on disk, so that memory does not grow with
the corpus, and a build that was cut goes on (`work.py`). Any number of tasks may
process the units, each its share of them.
"""

import itertools
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from amber_jax.corpora.accounts import (
    held_out_facts,
    write_inputs,
)
from amber_jax.corpora.assembly import (
    Facts,
    PackJob,
    pack_left,
    shard_jobs,
    stream_facts,
    total_rejects,
    with_rates,
    write_shards,
)
from amber_jax.corpora.beam import any_mapper
from amber_jax.corpora.engine import (
    Build,
    Note,
    Parts,
    begin_build,
    check_processed,
    collect,
    decide_duplicates,
    plan,
    process_units,
)
from amber_jax.corpora.forecast import forecast
from amber_jax.corpora.licenses import license_of
from amber_jax.corpora.processes import Report, reported
from amber_jax.corpora.recipe import Recipe, checked_recipe
from amber_jax.corpora.records import (
    MANIFEST,
    open_corpus,
    read_manifest,
    write_manifest,
)
from amber_jax.corpora.unit_rows import BuildOptions
from amber_jax.corpora.units import StreamKey
from amber_jax.corpora.work import (
    Share,
    open_work,
    task_folders,
)
from amber_jax.errors import UserError
from amber_jax.files import PROGRESS, is_whole, publish, workplace
from amber_jax.tokenization.tokenizer import Tokenizer


def build_corpus(
    recipe: Recipe,
    output: Path,
    *,
    processes: int,
    report: Report,
    note: Note = print,
    tasks: int = 0,
    beam: Sequence[str] = (),
) -> tuple[dict[str, Any], bool]:
    """Builds the corpus of a recipe in the folder `output`.

    A build that was killed or interrupted goes on where it stopped.

    Args:
        recipe: inputs, filters and shapes.
        output: is created; a finished corpus of the same recipe there is kept.
        processes: workers; 0 takes one for each core.
        report: called with (stage, done, total) as work proceeds, in bytes.
        note: called with what a hundredth of the inputs lets expect.
        tasks: how many calls of `process_share` have processed the units; 0: none.
        beam: options of an Apache Beam pipeline that does the work; none: processes.

    Returns:
        (manifest, built): `built` is False if the corpus was there already.

    Raises:
        UserError: an input cannot be used, a stream gets no text, a task is missing,
            or `output` holds something else.
    """
    tokenizer, recipe_id = checked_recipe(recipe, processes)
    if finished := _finished(output, recipe_id):
        return finished, False
    folders = task_folders(output, tasks, recipe_id)
    mapping = any_mapper(processes, beam)
    with (
        workplace(output, resumed=f"*{PROGRESS}") as place,
        mapping as run,
    ):
        work = open_work(place, recipe_id, note, folders)
        build = begin_build(recipe, tokenizer, work, run, report, note)
        inputs = plan(build, Share())
        if not tasks:
            forecast(build, inputs)
            decide_duplicates(build, inputs)
            process_units(build, inputs, Share())
        check_processed(build, inputs)
        parts, facts_of = collect(build, inputs)
        facts_of = [
            replace(facts, license=license_of(source.source, recipe.licenses))
            for facts, source in zip(facts_of, inputs, strict=True)
        ]
        directory = work.directory / "corpus"
        streams = _write_streams(build, parts, directory)
        facts_of += [
            held_out_facts(build.names[path], len(hashes))
            for path, hashes in build.held_out.items()
        ]
        write_inputs(directory, facts_of)
        shutil.rmtree(directory / "tokenizer", ignore_errors=True)
        tokenizer.save(directory / "tokenizer")
        facts = _manifest(recipe.options, tokenizer, streams, recipe_id)
        manifest = write_manifest(directory, facts)
        publish(directory, output)
    return manifest, True


def _write_streams(build: Build, parts: Parts, corpus: Path) -> dict[StreamKey, Facts]:
    """Writes the shards of all streams; what has been written stays as it is."""
    directory = build.work.directory / "written"
    packing = [
        PackJob(
            key, tuple(parts[key]), build.options, build.tokenizer.special, directory
        )
        for key in sorted(parts)
        if not build.work.record(f"written/{'-'.join(key)}")
    ]
    sizes = [job.size for job in packing]
    for _ in reported("pack", build.run(pack_left, packing), sizes, build.report):
        pass
    jobs = {
        key: shard_jobs(
            key,
            parts[key],
            directory / f"{'-'.join(key)}.json",
            build.options,
            directory=directory,
            corpus=corpus,
        )
        for key in sorted(parts)
    }
    every = list(itertools.chain(*jobs.values()))
    waiting = [job for job in every if not job.record.is_file()]
    sizes = [job.size for job in waiting]
    before = sum(job.size for job in every) - sum(sizes)
    done = build.run(write_shards, waiting)
    written = reported("write", done, sizes, build.report, before)
    left = Counter(job.key for job in waiting)
    for job, _ in zip(waiting, written, strict=True):
        left[job.key] -= 1
        if not left[job.key]:
            build.work.remove(part.file for part in parts[job.key])
    return {key: stream_facts(parts[key], jobs[key]) for key in jobs}


def _finished(output: Path, recipe_id: str) -> dict[str, Any] | None:
    """Returns the manifest of a finished corpus of this recipe, if it is there."""
    if not is_whole(output) or (output.is_dir() and not any(output.iterdir())):
        return None  # an upload that was cut off is done again
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
