"""Units processed anywhere, what they add to each stream kept on disk."""

import dataclasses
import functools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amber_jax.corpora.accounts import Tallies, Tally, tally
from amber_jax.corpora.duplicates import duplicates_of
from amber_jax.corpora.examples import example, first_lines, line_offsets
from amber_jax.corpora.screening import Screening
from amber_jax.corpora.unit_rows import BuildOptions, Part, process_unit
from amber_jax.corpora.units import StreamKey, Unit
from amber_jax.corpora.work import read_record
from amber_jax.files import new_file, write_json
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import Tokenizer

_EXAMPLE_LINES = 256  # that those that are rejected are taken from


@dataclass(frozen=True)
class UnitJob:
    """All that a worker needs to process a unit."""

    unit: Unit
    options: BuildOptions
    tokenizer: Path
    screening: Screening
    duplicates: Path  # of `duplicates.find_duplicates`, if that is what is asked for
    directory: Path  # for the rows


@dataclass(frozen=True)
class StoredPart:
    """A unit's `Part` of a stream with its rows on disk."""

    file: Path  # the rows, then the rows left to be packed anew
    rows: int
    left: int
    inputs: int
    rejects: Counter[str]


def store_part(part: Part, file: Path) -> StoredPart:
    """Writes the rows of a part to `file` (.npy) and returns the rest."""
    with new_file(file) as opened:
        np.save(opened, np.concatenate([part.rows, part.left]))
    return StoredPart(file, len(part.rows), len(part.left), part.inputs, part.rejects)


def run_unit(job: UnitJob) -> None:
    """Processes a unit and stores its parts, the record that names them last."""
    stem = job.directory / job.unit.name
    stored = []
    for (kind, name), part in processed(job).items():
        file = stem.with_name(f"{stem.name}-{kind}-{name}.npy")
        facts = vars(store_part(part, file)) | {"file": file.name}
        stored.append({"kind": kind, "name": name, **facts})
    examples = _examples(job) if job.unit.place == 0 else {}
    record = {"parts": stored, "examples": examples}
    write_json(stem.with_name(f"{stem.name}.json"), record)


def stored_parts(record: Path) -> tuple[dict[StreamKey, StoredPart], dict[str, str]]:
    """Returns what `run_unit` stored, from the record that it wrote.

    The second are lines that were rejected, one for each reason: some of the first
    unit of each source.
    """
    stored = read_record(record)
    parts = {
        (facts.pop("kind"), facts.pop("name")): StoredPart(
            **facts
            | {"file": record.with_name(facts["file"])}
            | {"rejects": Counter(facts["rejects"])}
        )
        for facts in stored["parts"]
    }
    return parts, stored["examples"]


def _examples(job: UnitJob) -> dict[str, str]:
    def rejects(unit: Unit) -> Counter[str]:
        parts = processed(dataclasses.replace(job, unit=unit))
        return sum((part.rejects for part in parts.values()), Counter())

    offsets = line_offsets(job.unit, _EXAMPLE_LINES)
    lines = len(offsets[0]) - 1
    return {
        reason: example(job.unit, offsets, 0, lines, reason, rejects)
        for reason in rejects(first_lines(job.unit, offsets, 0, lines))
    }


def sample_unit(job: UnitJob) -> None:
    """Processes a sample of a unit and stores what it adds to each stream."""
    length = job.options.row_length
    tallies = [
        {"kind": kind, "name": name, **vars(tally(part, length))}
        for (kind, name), part in processed(job).items()
    ]
    write_json(job.directory / f"{job.unit.name}.json", tallies)


def sampled_tallies(record: Path) -> Tallies:
    """Returns what `sample_unit` stored, from the record that it wrote."""
    return {
        (facts.pop("kind"), facts.pop("name")): Tally(
            **facts | {"rejects": Counter(facts["rejects"])}
        )
        for facts in read_record(record)
    }


def processed(job: UnitJob) -> dict[StreamKey, Part]:
    """Returns what a unit adds to each stream."""
    return process_unit(
        job.unit,
        job.options,
        _tokenizer(job.tokenizer),
        job.screening.load(),
        duplicates_of(job.unit, job.duplicates),
    )


@functools.cache
def _tokenizer(path: Path) -> Tokenizer:
    return load_tokenizer(path)
