"""Sources to a corpus folder, with worker processes and the same bytes for any number.

Stages: unpack and index every input; process units (`units.py`); write each stream
(`assembly.py`); manifest; rename. Workers get paths and offsets and return paths and
counts, so that memory does not grow with the corpus.
"""

import functools
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amber_jax.corpora.assembly import (
    Facts,
    StoredPart,
    check_sizes,
    store_part,
    total_rejects,
    with_rates,
    write_stream,
)
from amber_jax.corpora.filters import HeldOut, held_out_sentences
from amber_jax.corpora.planning import plan_units
from amber_jax.corpora.processes import Mapper, Report, mapper, reported
from amber_jax.corpora.recipe import Recipe, check_options, recipe_fingerprint
from amber_jax.corpora.records import (
    MANIFEST,
    open_corpus,
    read_manifest,
    write_manifest,
)
from amber_jax.corpora.units import BuildOptions, StreamKey, Unit, process_unit
from amber_jax.corpora.workplace import publish, workplace
from amber_jax.errors import UserError
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import SpecialTokens, Tokenizer


@dataclass(frozen=True)
class _UnitJob:
    unit: Unit
    options: BuildOptions
    tokenizer: Path
    held_out: Path
    directory: Path  # for the rows


@dataclass(frozen=True)
class _StreamJob:
    key: StreamKey
    parts: tuple[StoredPart, ...]
    options: BuildOptions
    special: SpecialTokens
    directory: Path


def build_corpus(
    recipe: Recipe, output: Path, *, processes: int, report: Report
) -> tuple[dict[str, Any], bool]:
    """Builds the corpus of a recipe in the folder `output`.

    Args:
        recipe: inputs, filters and shapes.
        output: is created; a finished corpus of the same recipe there is kept.
        processes: workers; 0 takes one for each core.
        report: called with (stage, done, total) as work proceeds.

    Returns:
        (manifest, built): `built` is False if the corpus was there already.

    Raises:
        UserError: an input cannot be used, or `output` holds something else.
    """
    check_options(recipe.options, processes)
    tokenizer = load_tokenizer(recipe.tokenizer)
    fingerprint = recipe_fingerprint(recipe, tokenizer.fingerprint)
    if finished := _finished(output, fingerprint):
        return finished, False
    with workplace(output) as work, mapper(processes) as run:
        directory = work / "corpus"
        streams = _build_streams(recipe, tokenizer, work, run, report)
        check_sizes(streams, recipe.options.rows_per_shard)
        tokenizer.save(directory / "tokenizer")
        facts = _manifest(recipe.options, tokenizer, streams, fingerprint)
        manifest = write_manifest(directory, facts)
        publish(directory, output)
    return manifest, True


def _build_streams(
    recipe: Recipe, tokenizer: Tokenizer, work: Path, run: Mapper, report: Report
) -> dict[StreamKey, Facts]:
    for name in ("inputs", "rows", "corpus"):
        (work / name).mkdir()
    held_out = work / "held_out.npy"
    np.save(
        held_out,
        np.array(sorted(held_out_sentences(recipe.evaluation_files)), np.uint64),
    )
    options = recipe.options
    units = plan_units(
        recipe.sources,
        unit_bytes=options.unit_bytes,
        directory=work / "inputs",
        mapper=run,
        report=report,
    )
    jobs = [
        _UnitJob(unit, options, recipe.tokenizer, held_out, work / "rows")
        for unit in units
    ]
    parts: dict[StreamKey, list[StoredPart]] = defaultdict(list)
    for found in reported("tokenise", run(_run_unit, jobs), len(jobs), report):
        for key, part in found.items():
            parts[key].append(part)
    streams = [
        _StreamJob(key, tuple(parts[key]), options, tokenizer.special, work / "corpus")
        for key in sorted(parts)
    ]
    facts = run(_run_stream, streams)
    facts = reported("write", facts, len(streams), report)
    return dict(zip(sorted(parts), facts, strict=True))


def _run_unit(job: _UnitJob) -> dict[StreamKey, StoredPart]:
    parts = process_unit(
        job.unit, job.options, _tokenizer(job.tokenizer), _held_out(job.held_out)
    )
    prefix = job.directory / f"{job.unit.number}"
    return {
        (kind, name): store_part(part, Path(f"{prefix}-{kind}-{name}.npy"))
        for (kind, name), part in parts.items()
    }


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


@functools.lru_cache(maxsize=1)
def _held_out(path: Path) -> HeldOut:
    return frozenset(np.load(path).tolist())


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
    return {
        "row_length": options.row_length,
        "max_pairs": options.max_pairs,
        "rows_per_shard": options.rows_per_shard,
        "vocab_size": tokenizer.vocab_size,
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "recipe_fingerprint": recipe_id,
        "rejects": rejects,
        "excluded_evaluation_sentences": rejects.get("evaluation_sentence", 0),
        "streams": with_rates(streams, options.alpha),
    }
