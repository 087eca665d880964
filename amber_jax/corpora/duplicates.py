"""Lines and pairs that occur again, in any unit of any source: two passes over text.

First each unit is signed (`sign_unit`): what occurs twice in it is noted, of the rest
keys are left on disk, which are equal for equal texts, and others that are equal for
most of those that are much alike. Keys are sorted in each unit, and brought together a
range at a time (`decide`), so that memory does not grow with the corpus: of those with
one key the first in order of source, unit and line stays. The second pass is that of
the build, to which `duplicates_of` says what it leaves out of a unit.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amber_jax.corpora.cleaning.copies import (
    later_copies,
    later_similar,
    text_hashes,
)
from amber_jax.corpora.cleaning.minhash import (
    BANDS,
    PERMUTATIONS,
    band_keys,
    minhashes,
    resemblance,
)
from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.processes import Mapper, Report, reported
from amber_jax.corpora.screening import Screening
from amber_jax.corpora.units import LeftOut, StreamKey, Unit, judged_lines
from amber_jax.files import make_folder, new_file, read_json, write_json

_REASONS = ("duplicate", "near_duplicate")
_EXACT = 0  # the table of keys that equal texts share; those of bands follow
_RECORDS = 1 << 22  # brought together at once: some 200 MB
_COMPARED = 1 << 16  # pairs of texts at once: 32 MB
_KEYS = 1 << 64
_ADVICE = "remove the folder and build again"
_TABLES = 1 + BANDS


@dataclass(frozen=True)
class _SignJob:
    unit: Unit
    screening: Screening
    directory: Path

    @property
    def file(self) -> Path:
        """Tells how many texts of each stream have keys; appears when all have."""
        return self.directory / f"{self.unit.number}.json"

    @property
    def size(self) -> int:
        """Bytes of text."""
        return self.unit.size


@dataclass(frozen=True)
class _DecideJob:
    table: int
    first: int  # the least key
    last: int  # and the greatest
    near: float  # the least resemblance
    units: tuple[int, ...]  # in order
    size: int  # bytes of the keys, about
    directory: Path  # of the stream
    file: Path


def find_duplicates(
    units: Sequence[Unit],
    screening: Screening,
    directory: Path,
    *,
    mapper: Mapper,
    report: Report,
) -> None:
    """Decides what is left out of each unit, if the cleaning asks for it.

    Called again after it was cut, it goes on with what has no record yet.

    Args:
        units: all of the corpus, in order.
        screening: what does not pass it is no duplicate of anything.
        directory: is created, for keys and decisions.
        mapper: runs the work; any number of processes decides the same.
        report: see `processes.reported`.
    """
    if screening.cleaning.compares_texts:
        sign_units(units, screening, directory, mapper=mapper, report=report)
        compare_units(directory, screening.cleaning, mapper=mapper, report=report)


def sign_units(
    units: Sequence[Unit],
    screening: Screening,
    directory: Path,
    *,
    mapper: Mapper,
    report: Report,
) -> None:
    """Leaves the keys of some units; arguments as `find_duplicates`."""
    make_folder(directory)
    jobs = [_SignJob(unit, screening, directory) for unit in units]
    _run("sign", sign_unit, jobs, mapper, report)


def compare_units(
    directory: Path, cleaning: Cleaning, *, mapper: Mapper, report: Report
) -> None:
    """Decides what is left out by the keys of all units.

    Args:
        directory: holds what `sign_units` left of every unit of the corpus.
        cleaning: what is a duplicate.
        mapper: runs the work.
        report: see `processes.reported`.
    """
    counts: dict[str, dict[int, int]] = defaultdict(dict)
    for record in directory.glob("[0-9]*.json"):
        for stream, count in read_json(record, _ADVICE).items():
            counts[stream][int(record.stem)] = count
    decisions = [
        job
        for stream, of_units in sorted(counts.items())
        for job in _decide_jobs(directory / stream, of_units, cleaning)
    ]
    _run("compare", decide, decisions, mapper, report)


def remove_keys(directory: Path) -> None:
    """Removes all that `duplicates_of` does not read."""
    for file in [*directory.glob("*.json"), *directory.glob("*/*.npy")]:
        if not file.name.startswith("decided-") and not file.stem.endswith("-own"):
            file.unlink()


def duplicates_of(unit: Unit, directory: Path) -> LeftOut:
    """Returns what is left out of a unit, and why; see `units.judged_lines`.

    Nothing is before `find_duplicates` has made the folder.
    """
    return {key: _left_out(unit.number, directory / _name(key)) for key in {*unit.keys}}


def sign_unit(job: _SignJob) -> None:
    """Writes the keys of a unit's texts, then the record of them."""
    texts: dict[StreamKey, list[str]] = defaultdict(list)
    languages = job.unit.pairs or [job.unit.columns]
    streams = [*zip(job.unit.keys, languages, strict=True)]
    for line, reasons in judged_lines(job.unit, job.screening.load(), {}):
        for (key, of_key), reason in zip(streams, reasons, strict=True):
            if reason is None:
                texts[key].append("\t".join(line[language][0] for language in of_key))
    counts = {
        _name(key): _sign(of_stream, job, job.directory / _name(key))
        for key, of_stream in texts.items()
    }
    write_json(job.file, counts)


def decide(job: _DecideJob) -> None:
    """Writes which texts of a range of keys are left out: their units and numbers."""
    parts = [_range(job, place) for place in range(len(job.units))]
    keys, places, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
    if job.table == _EXACT:
        later = later_copies(keys)
    else:
        later = later_similar(
            keys,
            lambda firsts, others: _are_similar(
                job, (places[firsts], rows[firsts]), (places[others], rows[others])
            ),
        )
    units, numbers = places[later], rows[later]
    for place in np.unique(units):
        mine = units == place
        numbers[mine] = _load(job.directory, job.units[place], "numbers")[numbers[mine]]
    decided = np.stack([np.array(job.units, np.int64)[units], numbers.astype(np.int64)])
    _write(job.file, decided[:, np.lexsort(decided[::-1])])


def _sign(texts: Sequence[str], job: _SignJob, folder: Path) -> int:
    """Writes the keys of a stream's texts and returns how many are new in the unit."""
    cleaning, unit = job.screening.cleaning, job.unit
    hashes = text_hashes(texts)
    copies = later_copies(hashes)
    numbers = np.flatnonzero(~copies)
    own = [(number, _EXACT) for number in np.flatnonzero(copies).tolist()]
    tables = hashes[numbers][None]
    if cleaning.near_duplicates:
        minhash = minhashes([texts[number] for number in numbers])
        bands = band_keys(minhash)
        alike = np.zeros(len(numbers), bool)
        for keys in bands:
            alike |= later_similar(
                keys,
                lambda firsts, others: (
                    resemblance(minhash[firsts], minhash[others])
                    >= cleaning.near_duplicates
                ),
            )
        own += [(number, 1) for number in numbers[alike].tolist()]
        _save(folder, unit.number, "minhash", minhash[~alike])
        tables = np.concatenate([tables, bands])[:, ~alike]
        numbers = numbers[~alike]
    order = np.argsort(tables, axis=1, kind="stable")
    _save(folder, unit.number, "own", np.array(own, np.uint32).reshape(-1, 2))
    _save(folder, unit.number, "numbers", numbers.astype(np.uint32))
    _save(folder, unit.number, "order", order.astype(np.uint32))
    _save(folder, unit.number, "keys", np.take_along_axis(tables, order, axis=1))
    return len(numbers)


def _decide_jobs(
    folder: Path, counts: dict[int, int], cleaning: Cleaning
) -> Iterator[_DecideJob]:
    tables = _TABLES if cleaning.near_duplicates else 1
    ranges = -(-sum(counts.values()) // _RECORDS)
    bounds = [_KEYS * number // ranges for number in range(ranges + 1)]
    for table, (number, (first, after)) in itertools.product(
        range(tables), enumerate(itertools.pairwise(bounds))
    ):
        yield _DecideJob(
            table,
            first,
            after - 1,
            near=cleaning.near_duplicates,
            size=8 * sum(counts.values()) // ranges,
            units=tuple(sorted(counts)),
            directory=folder,
            file=folder / f"decided-{table}-{number}.npy",
        )


def _range(job: _DecideJob, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns a unit's keys of a range, its place among the units, and the texts'."""
    keys = _load(job.directory, job.units[place], "keys")[job.table]
    begin = np.searchsorted(keys, np.uint64(job.first))
    end = np.searchsorted(keys, np.uint64(job.last), side="right")
    order = _load(job.directory, job.units[place], "order")[job.table]
    places = np.full(end - begin, place, np.uint32)
    return keys[begin:end], places, order[begin:end]


def _are_similar(
    job: _DecideJob, firsts: tuple[np.ndarray, ...], others: tuple[np.ndarray, ...]
) -> np.ndarray:
    similar = np.zeros(len(firsts[0]), bool)
    for start in range(0, len(similar), _COMPARED):
        some = slice(start, start + _COMPARED)
        of_firsts, of_others = (
            _minhashes(job, places[some], rows[some])
            for places, rows in (firsts, others)
        )
        similar[some] = resemblance(of_firsts, of_others) >= job.near
    return similar


def _minhashes(job: _DecideJob, places: np.ndarray, rows: np.ndarray) -> np.ndarray:
    hashes = np.empty((len(places), PERMUTATIONS), np.uint16)
    for place in np.unique(places):
        mine = places == place
        stored = _load(job.directory, job.units[place], "minhash")
        hashes[mine] = stored[rows[mine]]
    return hashes


def _left_out(unit: int, folder: Path) -> dict[int, str]:
    """Returns the reasons of one stream, exact copies last so that they win."""
    if not _path(folder, unit, "own").exists():
        return {}  # nothing of the unit passed
    reasons = {}
    own = _load(folder, unit, "own").tolist()
    for table in range(_TABLES - 1, -1, -1):
        reason = _REASONS[table != _EXACT]
        for path in folder.glob(f"decided-{table}-*.npy"):
            units, numbers = np.load(path, mmap_mode="r")
            begin, end = np.searchsorted(units, [unit, unit + 1])
            reasons |= dict.fromkeys(numbers[begin:end].tolist(), reason)
    return reasons | {number: _REASONS[is_near] for number, is_near in own}


def _name(key: StreamKey) -> str:
    return "-".join(key)


def _path(folder: Path, unit: int, name: str) -> Path:
    return folder / f"{unit}-{name}.npy"


def _load(folder: Path, unit: int, name: str) -> np.ndarray:
    return np.load(_path(folder, unit, name), mmap_mode="r")


def _save(folder: Path, unit: int, name: str, values: np.ndarray) -> None:
    make_folder(folder)
    _write(_path(folder, unit, name), values)


def _write(path: Path, values: np.ndarray) -> None:
    with new_file(path) as file:
        np.save(file, values)


def _run(
    stage: str,
    function: Callable[[Any], None],
    jobs: Sequence[_SignJob] | Sequence[_DecideJob],
    mapper: Mapper,
    report: Report,
) -> None:
    """Does the jobs whose files are not there."""
    waiting = [job for job in jobs if not job.file.is_file()]
    sizes = [job.size for job in waiting]
    before = sum(job.size for job in jobs) - sum(sizes)
    for _ in reported(stage, mapper(function, waiting), sizes, report, before):
        pass
