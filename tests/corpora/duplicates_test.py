"""What occurs again is left out once for all, however the work is cut and shared."""

import dataclasses
import random

import pytest
from quiet_build import silent

from amber_jax.corpora import duplicates
from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.duplicates import duplicates_of, find_duplicates
from amber_jax.corpora.plain import plain_file
from amber_jax.corpora.screening import Screening, store_held_out
from amber_jax.corpora.sources import TextSource, TsvSource
from amber_jax.corpora.text import read_lines
from amber_jax.corpora.units import Unit, cut_units

EXACT = Cleaning(exact_duplicates=True)
NEAR = Cleaning(near_duplicates=0.8)


@pytest.fixture
def decided(tmp_path):
    """Decides about files of lines; returns reason -> (file, line) of what goes."""

    def decided(*contents, cleaning, columns=("en",), pairs=(), unit_bytes=1 << 20):
        units, owners = [], []
        for number, lines in enumerate(contents):
            path = tmp_path / f"{number}.txt"
            path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
            before = 0
            for slices in cut_units([plain_file(path, path)], unit_bytes=unit_bytes):
                units.append(Unit(len(units), slices, columns, pairs))
                owners.append((number, before))
                before += sum(1 for _ in read_lines_of(slices[0]))
        store_held_out(tmp_path, frozenset(), (), cleaning)
        screening = Screening(1000, cleaning, tmp_path)
        folder = tmp_path / "duplicates"
        find_duplicates(units, screening, folder, mapper=map, report=silent)
        lines_by_reason = {}
        for unit, (number, before) in zip(units, owners, strict=True):
            for reasons in duplicates_of(unit, folder).values():
                for line, reason in reasons.items():
                    lines_by_reason.setdefault(reason, set()).add(
                        (number, before + line)
                    )
        return lines_by_reason

    return decided


def read_lines_of(part):
    return part.path.read_bytes()[part.start : part.end].splitlines()


def test_of_equal_lines_the_first_stays(decided):
    first, second = ["a", "b", "a", "c"], ["d", "b", "d", "A"]
    copies = decided(first, second, cleaning=EXACT)
    assert copies == {"duplicate": {(0, 2), (1, 1), (1, 2)}}


def test_what_does_not_pass_is_neither_counted_nor_a_first(decided):
    cleaning = dataclasses.replace(EXACT, max_digits=0.5)
    lines = ["123", "", "word", "123", "word"]  # two that pass, the second again
    assert decided(lines, cleaning=cleaning) == {"duplicate": {(0, 1)}}


def test_pairs_are_equal_on_both_sides(decided):
    lines = ["one\tun", "one\tune", "one\tun", "un\tone"]
    copies = decided(lines, cleaning=EXACT, columns=("en", "fr"), pairs=(("en", "fr"),))
    assert copies == {"duplicate": {(0, 2)}}


@pytest.mark.parametrize("unit_bytes", [1, 1 << 30])
@pytest.mark.parametrize("records", [100, 1 << 22])
def test_exact_copies_are_those_of_a_plain_search(
    decided, monkeypatch, unit_bytes, records
):
    monkeypatch.setattr(duplicates, "_RECORDS", records)
    draw = random.Random(0)
    files = [[str(draw.randrange(400)) for _ in range(300)] for _ in range(3)]
    seen, again = set(), set()
    for number, lines in enumerate(files):
        for line, text in enumerate(lines):
            (again.add((number, line)) if text in seen else seen.add(text))
    copies = decided(*files, cleaning=EXACT, unit_bytes=unit_bytes)
    assert copies == {"duplicate": again}


def words(draw, count):
    return ["".join(draw.choices("abcdefgh", k=6)) for _ in range(count)]


@pytest.mark.parametrize("unit_bytes", [1, 1 << 30])
@pytest.mark.parametrize("records", [100, 1 << 22])
def test_texts_much_alike_go_and_those_half_alike_stay(
    decided, monkeypatch, unit_bytes, records
):
    monkeypatch.setattr(duplicates, "_RECORDS", records)
    draw = random.Random(0)
    originals = [words(draw, 40) for _ in range(100)]
    alike = [[*text[:20], "other", *text[21:]] for text in originals]
    halves = [[*text[:20], *words(draw, 20)] for text in originals]
    files = [[" ".join(text) for text in file] for file in (originals, halves, alike)]
    copies = decided(
        *files, originals_in_capitals(files), cleaning=NEAR, unit_bytes=unit_bytes
    )
    assert {*copies} == {"near_duplicate"}
    by_file = [
        {line for n, line in copies["near_duplicate"] if n == k} for k in range(4)
    ]
    assert not by_file[0] and not by_file[1]
    assert len(by_file[2]) >= 98  # resemblance .95: bands miss hardly any
    assert by_file[3] == {*range(100)}


def originals_in_capitals(files):
    return [text.upper() for text in files[0]]


def test_a_copy_is_told_from_what_is_only_alike(decided):
    text = " ".join(words(random.Random(0), 40))
    copies = decided([text, text, f"{text}."], [text, f"{text}."], cleaning=NEAR)
    assert copies == {
        "duplicate": {(0, 1), (1, 0)},
        "near_duplicate": {(0, 2), (1, 1)},
    }


class Cut(Exception):
    pass


@pytest.mark.parametrize("done", [0, 3, 16])
def test_work_that_was_cut_goes_on_and_decides_the_same(tmp_path, done):
    draw = random.Random(0)
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{draw.randrange(900)}\n" for _ in range(1000)))
    slices = cut_units([plain_file(path, path)], unit_bytes=1)
    units = [
        Unit(7 << 32 | n, unit_slices, ("en",), ())
        for n, unit_slices in enumerate(slices)
    ]
    store_held_out(tmp_path, frozenset(), (), EXACT)
    screening = Screening(1000, EXACT, tmp_path)

    def decided(folder, run):
        find_duplicates(units, screening, folder, mapper=run, report=silent)
        return [duplicates_of(unit, folder) for unit in units]

    calls = 0

    def counting(function, jobs):
        nonlocal calls
        for job in jobs:
            if calls == limit:
                raise Cut
            calls += 1
            yield function(job)

    limit = done
    with pytest.raises(Cut):
        decided(tmp_path / "cut", counting)
    limit = -1
    assert decided(tmp_path / "cut", counting) == decided(tmp_path / "whole", map)
    assert calls == len(units) + 1  # none was done twice


def test_of_a_hundred_thousand_copies_one_is_kept(recipe, texts, tmp_path):
    (tmp_path / "en.txt").write_text("Cookies help us.\n" * 100_000)
    (tmp_path / "pairs.tsv").write_text("Yes.\tOui.\n" * 1000)
    recipe = dataclasses.replace(
        recipe,
        sources=(
            TextSource("en", tmp_path / "en.txt"),
            TsvSource("en", "fr", tmp_path / "pairs.tsv"),
        ),
        options=dataclasses.replace(
            recipe.options, cleaning=EXACT, parallel_as_text=False
        ),
    )
    manifest, _ = build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    streams = manifest["streams"]
    assert streams["mono"]["en"]["rejects"] == {"duplicate": 99_999}
    assert streams["mono"]["en"]["pairs"] == 1
    assert streams["pair"]["en-fr"]["rejects"] == {"duplicate": 999}


def test_any_number_of_processes_leaves_out_the_same(recipe, texts, tmp_path):
    lines = [line.decode() for line in read_lines(texts / "en.txt.gz")]
    again = [f"{line} Really." if n % 3 else line for n, line in enumerate(lines)]
    (tmp_path / "again.txt").write_text("\n".join(again), "utf-8")
    cleaning = dataclasses.replace(NEAR, language_threshold=0.9, normalization="NFC")
    recipe = dataclasses.replace(
        recipe,
        sources=(*recipe.sources, TextSource("en", tmp_path / "again.txt")),
        options=dataclasses.replace(recipe.options, cleaning=cleaning),
    )
    manifests = []
    for processes in (1, 2):
        output = tmp_path / str(processes)
        made, _ = build_corpus(recipe, output, processes=processes, report=silent)
        manifests.append(made)
    assert manifests[0] == manifests[1]
    rejects = manifests[0]["streams"]["mono"]["en"]["rejects"]
    assert rejects["duplicate"] >= 134 and rejects["near_duplicate"] > 50
