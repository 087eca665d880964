"""Corpora of object storage: the bytes, rows and order of those of a local disk."""

import dataclasses
import functools
import io
import itertools
import json
import shutil
import zipfile

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import tiny_run
from quiet_build import silent

from amber_jax import storage
from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.dry_run import dry_run
from amber_jax.corpora.folder import folder_sources
from amber_jax.corpora.piece_counts import piece_counts
from amber_jax.corpora.records import open_corpus, read_rows
from amber_jax.corpora.shares import compare_shares, process_share
from amber_jax.corpora.text import read_lines
from amber_jax.corpora.work import Share
from amber_jax.data.pipeline import BatchPlan, batch_at, batches
from amber_jax.errors import StorageError, UserError
from amber_jax.files import begin_remote


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def as_lists(batch):
    return {
        kind: {name: array.tolist() for name, array in arrays.items()}
        for kind, arrays in batch.items()
    }


@pytest.fixture
def recipe(recipe):
    """The same with fewer files."""
    options = dataclasses.replace(
        recipe.options, rows_per_shard=16, unit_bytes=1 << 20, parallel_as_text=False
    )
    return dataclasses.replace(recipe, options=options)


@pytest.fixture
def downloads(texts, tmp_path):
    """A folder of text in the formats in which it is downloaded."""
    folder = tmp_path / "downloads"
    for name in ("mono", "parallel", "held_out"):
        (folder / name).mkdir(parents=True)
    shutil.copy(texts / "en.txt.gz", folder / "mono" / "en.txt.gz")
    french = (texts / "en-fr.fr").read_text().splitlines()
    (folder / "mono" / "fr.txt").write_text("".join(f"{x}\n" for x in french[:60]))
    records = "".join(json.dumps({"text": x}) + "\n" for x in french[60:90])
    (folder / "mono" / "news.fr.jsonl").write_text(records)
    table = pyarrow.table({"text": french[90:120]})
    pyarrow.parquet.write_table(table, folder / "mono" / "more.fr.parquet")
    shutil.copy(texts / "en-hi.tmx", folder / "parallel" / "x.en-hi.tmx")
    shutil.copy(texts / "all.tsv", folder / "parallel" / "all.tsv")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for code in ("en", "fr"):
            archive.write(texts / f"en-fr.{code}", f"X.en-fr.{code}")
    (folder / "parallel" / "X.en-fr.txt.zip").write_bytes(packed.getvalue())
    (folder / "held_out" / "x.txt").write_text(f"{french[3]}\n")
    return folder


def with_folder(recipe, folder):
    content = folder_sources(folder)
    return dataclasses.replace(
        recipe, sources=content.sources, evaluation_files=content.held_out
    )


def test_text_and_corpus_in_storage_make_the_bytes_of_local_ones(
    recipe, downloads, object_store, tmp_path, tokenizer_folder
):
    local = with_folder(recipe, downloads)
    build_corpus(local, tmp_path / "c", processes=1, report=silent)
    remote = dataclasses.replace(
        with_folder(
            recipe, storage.location(object_store.put_folder(downloads, "text"))
        ),
        tokenizer=storage.location(
            object_store.put_folder(tokenizer_folder, "tokenizer")
        ),
    )
    output = storage.location(object_store.path("corpora/c"))
    _, built = build_corpus(remote, output, processes=1, report=silent)
    assert built
    wanted = contents(tmp_path / "c")
    assert len(wanted) > 10
    assert object_store.folder("corpora/c") == wanted
    _, built = build_corpus(remote, output, processes=1, report=silent)
    assert not built, "finished, and verified"
    estimates = [dry_run(each, processes=1, report=silent) for each in (local, remote)]
    assert estimates[0].tokens.keys() == estimates[1].tokens.keys()


def test_tasks_leave_their_shares_in_storage(recipe, object_store, tmp_path):
    build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    output = storage.location(object_store.path("c"))
    for index in (0, 1):
        process_share(recipe, output, Share(index, 2), processes=1, report=silent)
    build_corpus(recipe, output, processes=1, report=silent, tasks=2)
    assert object_store.folder("c") == contents(tmp_path / "c")


def test_two_rounds_in_storage_go_on_after_refused_uploads(
    recipe, object_store, tmp_path
):
    cleaning = Cleaning(near_duplicates=0.8)
    options = dataclasses.replace(recipe.options, cleaning=cleaning)
    sources = (*recipe.sources, *recipe.sources[:1])  # a copy of the first
    recipe = dataclasses.replace(recipe, sources=sources, options=options)
    manifest, _ = build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    assert manifest["rejects"]["duplicate"] > 0
    output = storage.location(object_store.path("c"))
    quiet = {"processes": 1, "report": silent}
    steps = [
        ("signed-0000", functools.partial(process_share, share=Share(0, 2))),
        ("signed-0001", functools.partial(process_share, share=Share(1, 2))),
        ("duplicates", functools.partial(compare_shares, tasks=2)),
        ("task-0000", functools.partial(process_share, share=Share(0, 2))),
        ("task-0001", functools.partial(process_share, share=Share(1, 2))),
    ]
    for name, step in steps:
        object_store.fail(status=403, method="write", name=f"c.{name}", skipped=2)
        with pytest.raises(UserError, match="Forbidden"):
            step(recipe, output, **quiet)
        object_store.faults.clear()
        step(recipe, output, **quiet)
    build_corpus(recipe, output, tasks=2, **quiet)
    assert object_store.folder("c") == contents(tmp_path / "c")


def test_decisions_that_were_not_uploaded_to_their_end_are_made_again(
    recipe, object_store
):
    cleaning = Cleaning(exact_duplicates=True)
    options = dataclasses.replace(recipe.options, cleaning=cleaning)
    recipe = dataclasses.replace(recipe, options=options)
    output = storage.location(object_store.path("c"))
    quiet = {"processes": 1, "report": silent}
    process_share(recipe, output, Share(0, 1), **quiet)
    decisions = compare_shares(recipe, output, 1, **quiet)
    begin_remote(decisions)  # killed before the mark went
    folder, done = process_share(recipe, output, Share(0, 1), **quiet)
    assert (folder.name, done) == ("c.signed-0000-of-0001", False)
    assert compare_shares(recipe, output, 1, **quiet) == decisions
    assert process_share(recipe, output, Share(0, 1), **quiet)[1]
    build_corpus(recipe, output, tasks=1, **quiet)


def test_an_upload_that_is_refused_is_done_again(recipe, object_store, tmp_path):
    output = storage.location(object_store.path("c"))
    object_store.fail(status=403, method="write", name="shards", skipped=2)
    with pytest.raises(UserError, match=r"shards.*cannot be written \(.*Forbidden"):
        build_corpus(recipe, output, processes=1, report=silent)
    with pytest.raises(UserError, match="not whole.*run the command again"):
        open_corpus(output, verify=False)
    object_store.faults.clear()
    notes = []
    build_corpus(recipe, output, processes=1, report=silent, note=notes.append)
    assert "going on where a build was cut" in notes[0]
    build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    assert object_store.folder("c") == contents(tmp_path / "c")


@pytest.fixture
def both(object_store, tmp_path):
    """The same corpus on this machine and in storage."""
    local = tiny_run.write_corpus(tmp_path / "corpus")
    remote = storage.location(object_store.put_folder(local, "corpus"))
    return open_corpus(local, verify=True), open_corpus(remote, verify=True), remote


@pytest.mark.parametrize("cached", [False, True])
def test_batches_are_the_same_from_anywhere(both, cached, object_store):
    local, remote, folder = both
    if cached:
        remote = open_corpus(folder, verify=True, cache=True)
    assert remote.is_remote != cached
    rows, read = {"mono": 16, "pair": 8}, []
    for corpus in (local, remote):
        plan = BatchPlan(corpus, rows, seed=1, stage=0)
        half = dataclasses.replace(plan, process_index=1, process_count=2)
        object_store.requests.clear()
        served = list(batches(plan, start=3, stop=6))
        read.append([*map(as_lists, served), as_lists(batch_at(half, 1_000_000))])
    assert read[0] == read[1]
    shards = [name for _, name in object_store.requests if "shards" in name]
    assert bool(shards) != cached
    stream = local.streams["mono"]["en"]
    rows = [
        read_rows(c, c.streams["mono"]["en"], np.arange(stream.rows)) for c in both[:2]
    ]
    assert rows[0].tolist() == rows[1].tolist()
    counted = [piece_counts(corpus).tolist() for corpus in both[:2]]
    assert counted[0] == counted[1]


def test_neighboring_rows_come_in_one_request(both, object_store):
    _, remote, _ = both
    object_store.requests.clear()
    stream = remote.streams["mono"]["en"]
    read_rows(remote, stream, np.arange(stream.rows))
    assert len(object_store.requests) == len(stream.files)


def test_copies_of_shards_are_kept_and_verified(both, object_store, tmp_path):
    _, _, folder = both
    object_store.requests.clear()
    open_corpus(folder, verify=True, cache=True)
    first = sum("tfrecord" in name for _, name in object_store.requests)
    object_store.requests.clear()
    corpus = open_corpus(folder, verify=True, cache=True)
    again = sum("tfrecord" in name for _, name in object_store.requests)
    assert again < first, "looked up, not fetched"
    shard = corpus.streams["mono"]["en"].files[0]
    assert shard.is_relative_to(tmp_path / "cache")
    damaged = bytearray(shard.read_bytes())
    damaged[40] ^= 1
    shard.write_bytes(damaged)
    with pytest.raises(UserError, match="the shard is corrupt"):
        open_corpus(folder, verify=True, cache=True)


def one_batch(corpus):
    return batch_at(BatchPlan(corpus, {"mono": 8}, seed=0, stage=0), 0)


def test_rows_that_arrive_damaged_are_asked_for_again(both, object_store, impatient):
    local, remote, _ = both
    wanted = as_lists(one_batch(local))
    for fault in ({"flipped": 30}, {"kept": 10}, {"status": 503}, {"seconds": 0.1}):
        object_store.fail(method="GET", name="shards", times=2, **fault)
        assert as_lists(one_batch(remote)) == wanted, fault


def test_rows_that_cannot_be_had_end_in_one_sentence(both, object_store, impatient):
    _, remote, folder = both
    faults = {
        "differs from its checksum, 3 times": {"flipped": 30},
        "Forbidden.*wanted credentials": {"status": 403},
        "Unauthorized.*wanted credentials": {"status": 401},
        "Service Unavailable.*start the command again": {"status": 503},
    }
    for sentence, fault in faults.items():
        object_store.faults.clear()
        object_store.fail(method="GET", name="shards", **fault)
        with pytest.raises(StorageError, match=f"cannot be read .*{sentence}"):
            list(batches(BatchPlan(remote, {"mono": 8}, 0, 0), start=0, stop=2))
    object_store.faults.clear()
    (folder / "shards/pair/en-fr-00001-of-00002.tfrecord").unlink()
    plan = BatchPlan(remote, {"pair": 16}, seed=0, stage=0)
    with pytest.raises(UserError, match="can no longer be read.*en-fr-00001"):
        for step in itertools.count():
            batch_at(plan, step)
    with pytest.raises(UserError, match="en-fr-00001-of-00002.tfrecord: missing"):
        open_corpus(folder, verify=False)


def test_text_that_arrives_cut_is_asked_for_again(texts, object_store, impatient):
    packed = (texts / "en.txt.gz").read_bytes()
    object_store.put("en.txt.gz", packed)
    path = storage.location(object_store.path("en.txt.gz"))
    object_store.fail(method="GET", name="en.txt.gz", kept=100, times=3)
    assert list(read_lines(path)) == list(read_lines(texts / "en.txt.gz"))
    object_store.fail(method="GET", name="en.txt.gz", kept=100)
    with pytest.raises(UserError, match="gs://.*en.txt.gz.*cannot be read"):
        list(read_lines(path))


def test_what_is_not_there_is_named(object_store):
    for name in (object_store.path("nothing"), "gs://amber-no-such-bucket/c"):
        with pytest.raises(UserError, match=f"{name}: no manifest.json found"):
            open_corpus(storage.location(name), verify=False)
