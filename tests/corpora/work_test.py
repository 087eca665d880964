"""Builds that were cut go on where they stopped, and tasks make the same bytes."""

import dataclasses
import functools
import gzip
import random
import shutil
from pathlib import Path

import pytest
from quiet_build import silent

from amber_jax.corpora import engine, parts
from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.records import open_corpus
from amber_jax.corpora.shares import compare_shares, process_share
from amber_jax.corpora.sources import ManyWaySource, TextSource, TmxSource
from amber_jax.corpora.work import Share
from amber_jax.errors import UserError
from amber_jax.files import write_json

ROOT = Path(__file__).resolve().parents[2]


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def recipe(recipe, texts, tmp_path_factory):
    """Packed, converted and plain inputs, each of several units."""
    table = tmp_path_factory.mktemp("packed") / "all.tsv.gz"
    table.write_bytes(gzip.compress((texts / "all.tsv").read_bytes()))
    sources = (
        *recipe.sources,
        TmxSource("en", "hi", texts / "en-hi.tmx"),
        ManyWaySource(table, languages=("fr",)),
    )
    options = dataclasses.replace(recipe.options, unit_bytes=1 << 12)
    return dataclasses.replace(recipe, sources=sources, options=options)


@pytest.fixture
def whole(recipe, tmp_path):
    build_corpus(recipe, tmp_path / "whole", processes=1, report=silent)
    return contents(tmp_path / "whole")


@pytest.fixture
def processed(monkeypatch):
    """The names of the units that are processed, in order."""
    names = []

    def run_unit(job, run=engine.run_unit):
        names.append(job.unit.name)
        run(job)

    monkeypatch.setattr(engine, "run_unit", run_unit)
    return names


class Cut:
    """Interrupts a build when it reports for the n-th time."""

    def __init__(self, after):
        self.left = after

    def __call__(self, stage, done, total):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def cut_until_built(recipe, output):
    """Builds a corpus, interrupted again and again; returns how often."""
    drawn, cuts = random.Random(0), 0
    while not output.exists():
        try:
            report = Cut(drawn.randint(2, 9))
            build_corpus(recipe, output, processes=1, report=report)
        except KeyboardInterrupt:
            cuts += 1
    return cuts


def test_a_build_that_is_cut_anywhere_goes_on(recipe, whole, tmp_path, processed):
    assert cut_until_built(recipe, tmp_path / "c") > 5
    assert contents(tmp_path / "c") == whole
    # A unit is reported when its record is there: none was processed twice.
    assert len(processed) == len({*processed}) >= 10
    assert not [*tmp_path.glob("*.partial")]


def without_duplicates(recipe):
    cleaning = Cleaning(exact_duplicates=True, near_duplicates=0.8)
    options = dataclasses.replace(recipe.options, cleaning=cleaning)
    sources = (*recipe.sources, *recipe.sources[:1])  # a copy of the first
    return dataclasses.replace(recipe, sources=sources, options=options)


def test_a_search_for_duplicates_that_is_cut_goes_on(recipe, tmp_path):
    recipe = without_duplicates(recipe)
    manifest, _ = build_corpus(recipe, tmp_path / "whole", processes=1, report=silent)
    assert manifest["rejects"]["duplicate"] > 0
    assert cut_until_built(recipe, tmp_path / "c") > 10
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


def test_only_the_unit_that_was_cut_is_processed_again(
    recipe, whole, tmp_path, processed, monkeypatch
):
    def cut(path, content):
        if path.parent.name == "rows" and len(processed) == 6:
            raise KeyboardInterrupt
        write_json(path, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(parts, "write_json", cut)
        build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    assert len(processed) == 6
    notes = []
    build_corpus(recipe, tmp_path / "c", processes=1, report=silent, note=notes.append)
    assert "going on where a build was cut: 5 units of work are done" in notes
    assert len(processed) == len({*processed}) + 1
    assert processed[5] == processed[6]
    assert contents(tmp_path / "c") == whole


def test_another_recipe_begins_anew_and_says_so(recipe, tmp_path, processed):
    output = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        build_corpus(recipe, output, processes=1, report=Cut(12))
    changed = dataclasses.replace(
        recipe, options=dataclasses.replace(recipe.options, alpha=0.5)
    )
    notes = []
    build_corpus(changed, output, processes=1, report=silent, note=notes.append)
    assert "of other inputs, options or tokenizer; beginning anew" in notes[0]
    alone, _ = build_corpus(changed, tmp_path / "d", processes=1, report=silent)
    assert open_corpus(output, verify=True).fingerprint == alone["fingerprint"]


def test_copies_and_rows_go_as_soon_as_they_are_of_no_use(recipe, tmp_path):
    kept = {}

    def report(stage, done, total):
        (work,) = (tmp_path / "c.partial").glob("*")
        copies = [path.name for path in work.glob("inputs/*.txt")]
        rows = sum(path.stat().st_size for path in work.glob("rows/*.npy"))
        kept[stage] = copies, rows

    build_corpus(recipe, tmp_path / "c", processes=1, report=report)
    assert len(kept["sample"][0]) == 3
    assert kept["tokenize"][0] == ["3.txt"]  # of the last unit, which is just done
    assert kept["pack"][0] == []
    assert kept["write"][1] < kept["pack"][1] / 2


def tasks(recipe, output, count):
    return [
        process_share(recipe, output, Share(n, count), processes=1, report=silent)
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_tasks_and_a_merge_make_the_same_bytes(
    recipe, whole, tmp_path, processed, count
):
    output = tmp_path / "c"
    folders = tasks(recipe, output, count)
    units = len(processed)
    assert len({*processed}) == units
    if count == 3:
        assert all([*folder.glob("rows/*.json")] for folder, _ in folders)
    build_corpus(recipe, output, processes=1, report=silent, tasks=count)
    assert len(processed) == units
    assert contents(output) == whole
    assert tasks(recipe, output, count) == [(folder, False) for folder, _ in folders]


def test_tasks_search_for_duplicates_in_two_rounds(recipe, tmp_path):
    recipe, output = without_duplicates(recipe), tmp_path / "c"
    build_corpus(recipe, tmp_path / "whole", processes=1, report=silent)
    quiet = {"processes": 1, "report": silent}
    signed = tasks(recipe, output, 3)
    assert [folder.name for folder, _ in signed] == [
        f"c.signed-000{number}-of-0003" for number in range(3)
    ]
    assert tasks(recipe, output, 3) == [(folder, False) for folder, _ in signed]
    assert compare_shares(recipe, output, 3, **quiet) == tmp_path / "c.duplicates"
    assert compare_shares(recipe, output, 3, **quiet) is None
    with pytest.raises(UserError, match="of 3 tasks 0, 1, 2 have not finished"):
        build_corpus(recipe, output, tasks=3, **quiet)
    assert all(done for _, done in tasks(recipe, output, 3))
    build_corpus(recipe, output, tasks=3, **quiet)
    assert contents(output) == contents(tmp_path / "whole")
    for leftover in tmp_path.glob("c.*"):
        shutil.rmtree(leftover)
    assert compare_shares(recipe, output, 3, **quiet) is None  # the corpus is there


def test_both_rounds_go_on_where_they_were_cut(recipe, tmp_path):
    recipe, output = without_duplicates(recipe), tmp_path / "c"
    manifest, _ = build_corpus(recipe, tmp_path / "whole", processes=1, report=silent)
    assert manifest["rejects"]["duplicate"] > 0
    output.mkdir()  # as good as none
    drawn, cuts = random.Random(0), 0

    def until_done(step):
        nonlocal cuts
        while True:
            try:
                return step(processes=1, report=Cut(drawn.randint(2, 9)))
            except KeyboardInterrupt:
                cuts += 1

    for _ in range(2):
        for number in range(3):
            share = Share(number, 3)
            until_done(functools.partial(process_share, recipe, output, share))
        until_done(functools.partial(compare_shares, recipe, output, 3))
    until_done(functools.partial(build_corpus, recipe, output, tasks=3))
    assert cuts > 10
    assert contents(output) == contents(tmp_path / "whole")


def test_a_merge_processes_nothing_that_a_task_has_lost(recipe, tmp_path):
    folders = tasks(recipe, tmp_path / "c", 2)
    (folders[1][0] / "rows").rename(tmp_path / "lost")
    with pytest.raises(UserError, match="no task's folder holds rows"):
        build_corpus(recipe, tmp_path / "c", processes=1, report=silent, tasks=2)
    assert not (tmp_path / "c").exists()


def test_no_texts_are_compared_before_all_are_signed(recipe, tmp_path):
    recipe, output = without_duplicates(recipe), tmp_path / "c"
    quiet = {"processes": 1, "report": silent}
    process_share(recipe, output, Share(1, 3), **quiet)
    with pytest.raises(UserError, match="of 3 tasks 0, 2 have not finished"):
        compare_shares(recipe, output, 3, **quiet)
    tasks(recipe, output, 3)
    compare_shares(recipe, output, 3, **quiet)
    changed = dataclasses.replace(recipe, sources=recipe.sources[1:])
    with pytest.raises(UserError, match=r"remove it and c\.signed-\*, and run both"):
        process_share(changed, output, Share(0, 3), **quiet)


def test_a_merge_names_the_tasks_that_are_missing(recipe, tmp_path):
    output = tmp_path / "c"
    process_share(recipe, output, Share(1, 3), processes=1, report=silent)
    with pytest.raises(UserError, match="of 3 tasks 0, 2 have not finished"):
        build_corpus(recipe, output, processes=1, report=silent, tasks=3)
    changed = dataclasses.replace(recipe, sources=recipe.sources[1:])
    with pytest.raises(UserError, match="of other inputs, options or tokenizer"):
        process_share(changed, output, Share(1, 3), processes=1, report=silent)


def test_a_merge_names_a_stream_that_no_task_has_text_for(recipe, tmp_path):
    useless = tmp_path / "useless.txt"
    useless.write_bytes(b"caf\xe9\n" * 3)
    sources = (*recipe.sources, TextSource("de", useless))
    recipe = dataclasses.replace(recipe, sources=sources)
    tasks(recipe, tmp_path / "c", 2)
    with pytest.raises(UserError, match=r"mono de .*useless\.txt: not_utf8 3 of 3"):
        build_corpus(recipe, tmp_path / "c", processes=1, report=silent, tasks=2)


def test_the_largest_packed_source_has_a_task_of_its_own(recipe, tmp_path):
    packed = []
    for number in range(4):
        path = tmp_path / f"{number}.txt.gz"
        lines = [b"%d %d" % (number, n) for n in range(900 * (number == 2) + 99)]
        path.write_bytes(gzip.compress(b"\n".join(lines)))
        packed.append(TextSource("en", path))
    recipe = dataclasses.replace(recipe, sources=tuple(packed))
    read = [
        sorted(path.stem for path in folder.glob("inputs/*.json"))
        for folder, _ in tasks(recipe, tmp_path / "c", 2)
    ]
    assert read == [["2"], ["0", "1", "3"]]


def test_plain_sources_are_shared_out_by_units(recipe, texts, tmp_path):
    recipe = dataclasses.replace(recipe, sources=(ManyWaySource(texts / "all.tsv"),))
    folders = tasks(recipe, tmp_path / "c", 2)
    of_task = [{p.stem for p in f.glob("rows/*.json")} for f, _ in folders]
    assert abs(len(of_task[0]) - len(of_task[1])) <= 1
    assert not of_task[0] & of_task[1]
    assert {f"0-{n}" for n in range(4)} <= of_task[0] | of_task[1]
