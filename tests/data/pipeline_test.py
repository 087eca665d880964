"""Batches are a function of (corpus, seed, stage, step), on any number of processes."""

import dataclasses
import itertools
import shutil
import zlib

import numpy as np
import pytest
import tiny_run

from amber_jax.corpora.records import open_corpus, read_rows, read_rows_of
from amber_jax.data import pipeline
from amber_jax.data.order import BLOCK_ROWS
from amber_jax.data.pipeline import (
    BatchPlan,
    batch_at,
    batches,
    check_division,
    rows_for_pairs,
)
from amber_jax.errors import UserError

FIELDS = ("token_ids", "span_lengths", "row_ids")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tiny_run.write_corpus(tmp_path_factory.mktemp("corpus"))
    return open_corpus(folder, verify=True)


@pytest.fixture
def plan(corpus):
    return BatchPlan(corpus, rows={"mono": 8, "pair": 16}, seed=3, stage=1)


def as_lists(batch):
    return {
        (kind, field): batch[kind][field].tolist() for kind in batch for field in FIELDS
    }


def test_a_batch_has_the_shapes_and_types_that_the_step_wants(plan):
    batch = batch_at(plan, 0)
    assert list(batch) == ["mono", "pair"]
    for kind, rows in plan.rows.items():
        shapes = [batch[kind][field].shape for field in FIELDS]
        assert shapes == [(rows, 32), (rows, 3, 2), (rows, 3)]
        types = [batch[kind][field].dtype for field in FIELDS]
        assert types == [np.int32, np.int32, np.uint32]


def test_rows_are_those_of_the_corpus_that_their_ids_name(plan):
    batch = batch_at(plan, 5)
    for number, kind in enumerate(batch):
        streams = list(plan.corpus.streams[kind].values())
        for tokens, spans, (stream, _, row) in zip(
            *(batch[kind][field] for field in FIELDS), strict=True
        ):
            assert stream % 2 == number, "streams of the two kinds share no number"
            wanted = read_rows(plan.corpus, streams[stream // 2], np.array([row]))[0]
            assert [*tokens, *spans.flat] == wanted.tolist()


@pytest.mark.parametrize("step", [0, 1, 77, 10**6, 10**9])
def test_a_batch_is_the_same_every_time(plan, step):
    assert as_lists(batch_at(plan, step)) == as_lists(batch_at(plan, step))


MANY = {
    "mono": {f"m{number}": 1 + number % 3 for number in range(28)},
    "pair": {f"p{number}": 1 + 7 * number % 5 for number in range(28)},
}
GOLDEN = {
    ("few", 1): [3552132621, 132609932, 1667612484],
    ("few", 2): [3353492677, 1147758393, 829747528],
    ("many", 1): [1705001675, 3973026109, 236647461],
    ("many", 2): [2103127648, 1135534764, 4097025828],
}
"""Checksums of batches: (streams, processes) -> steps 0, 1 and a million."""


def digest(batch):
    parts = [batch[kind][field] for kind in batch for field in FIELDS]
    return zlib.crc32(b"".join(part.tobytes() for part in parts))


@pytest.mark.parametrize("streams", ["few", "many"])
def test_batches_stay_the_same_from_version_to_version(tmp_path, corpus, streams):
    if streams == "many":
        corpus = open_corpus(tiny_run.write_corpus(tmp_path, streams=MANY), verify=True)
    for processes in (1, 2):
        plan = BatchPlan(
            corpus,
            rows={"mono": 40, "pair": 1100},  # within a block, and across two
            seed=2**40 + 3,
            stage=1,
            process_index=processes - 1,
            process_count=processes,
        )
        digests = [digest(batch_at(plan, step)) for step in (0, 1, 10**6)]
        assert digests == GOLDEN[streams, processes]


@pytest.mark.parametrize("change", [{"seed": 4}, {"stage": 2}])
def test_another_seed_or_stage_gives_other_batches(plan, change):
    other = dataclasses.replace(plan, **change)
    assert as_lists(batch_at(plan, 0)) != as_lists(batch_at(other, 0))


def test_one_kind_does_not_depend_on_how_much_there_is_of_the_other(plan):
    alone = dataclasses.replace(plan, rows={"pair": 16})
    batch, wanted = batch_at(alone, 9), batch_at(plan, 9)
    assert list(batch) == ["pair"]
    assert batch["pair"]["row_ids"].tolist() == wanted["pair"]["row_ids"].tolist()


def served(plan, kind, steps):
    """Returns the (stream, epoch, row) triples of steps 0..steps-1."""
    parts = [batch_at(plan, step)[kind]["row_ids"].tolist() for step in range(steps)]
    return [tuple(ids) for ids in itertools.chain(*parts)]


@pytest.mark.parametrize("kind", ["mono", "pair"])
def test_every_row_of_a_stream_comes_once_an_epoch(plan, kind):
    steps = BLOCK_ROWS // plan.rows[kind]  # one block: about 26 epochs
    triples = served(plan, kind, steps)
    assert len(set(triples)) == len(triples), "nothing comes twice"
    for stream in {stream for stream, _, _ in triples}:
        epochs = [epoch for number, epoch, _ in triples if number == stream]
        size = list(plan.corpus.streams[kind].values())[stream // 2].rows
        assert max(epochs) >= 10
        for epoch in range(max(epochs)):  # the last one is not over
            rows = [row for n, e, row in triples if (n, e) == (stream, epoch)]
            assert sorted(rows) == list(range(size))


def test_epochs_have_different_orders(corpus, monkeypatch):
    # Without the mixture's own order, rows come in the order of their epoch.
    monkeypatch.setattr(
        pipeline, "mixture", lambda index, *_: (np.zeros_like(index), index)
    )
    size = corpus.streams["mono"]["en"].rows
    plan = BatchPlan(corpus, rows={"mono": size}, seed=0, stage=0)
    orders = [
        tuple(batch_at(plan, epoch)["mono"]["row_ids"][:, 2].tolist())
        for epoch in range(5)
    ]
    assert len(set(orders)) == 5
    assert all(sorted(order) == list(range(size)) for order in orders)


@pytest.mark.parametrize("processes", [2, 4, 8])
@pytest.mark.parametrize("step", [0, 3, 1000])
def test_the_processes_batches_one_after_the_other_are_the_whole(plan, processes, step):
    parts = [
        batch_at(
            dataclasses.replace(plan, process_index=index, process_count=processes),
            step,
        )
        for index in range(processes)
    ]
    whole = batch_at(plan, step)
    for kind, field in itertools.product(whole, FIELDS):
        joined = np.concatenate([part[kind][field] for part in parts])
        assert joined.tolist() == whole[kind][field].tolist()


@pytest.mark.parametrize("start", [0, 2, 41])
def test_reading_ahead_gives_the_same_batches_from_any_start(plan, start):
    read = list(batches(plan, start=start, stop=start + 5))
    wanted = [batch_at(plan, step) for step in range(start, start + 5)]
    assert [as_lists(batch) for batch in read] == [as_lists(batch) for batch in wanted]
    assert read[0]["pair"]["row_ids"].dtype == np.uint32


def test_reading_ahead_ends_where_the_stage_ends(plan):
    assert list(batches(plan, start=7, stop=7)) == []


def test_step_one_million_reads_no_step_before_it(plan, monkeypatch):
    read, numbers = [], []

    def watched(plan, step):
        read.append(step)
        return batch_at(plan, step)

    def counted(corpus, wanted):
        numbers.extend(len(index) for _, index in wanted)
        return read_rows_of(corpus, wanted)

    monkeypatch.setattr(pipeline, "read_rows_of", counted)
    batch_at(plan, 1_999_999)
    assert sum(numbers) == sum(plan.rows.values())
    monkeypatch.setattr(pipeline, "batch_at", watched)
    late = next(batches(plan, start=1_000_000, stop=1_000_010))
    assert set(read) <= set(range(1_000_000, 1_000_010))
    assert as_lists(late) == as_lists(batch_at(plan, 1_000_000))


def test_pairs_become_rows_by_what_rows_hold_on_average(corpus):
    streams = corpus.streams["pair"]
    per_row = sum(s.rate * s.pairs / s.rows for s in streams.values())
    assert 1 < per_row < 3
    assert rows_for_pairs(streams, round(64 * per_row), multiple=1) == 64
    assert rows_for_pairs(streams, round(64 * per_row), multiple=8) == 64
    assert rows_for_pairs(streams, round(60 * per_row), multiple=16) == 64
    assert rows_for_pairs(streams, 1, multiple=8) == 8, "never no row at all"
    assert rows_for_pairs(streams, 0, multiple=8) == 0


def test_the_average_number_of_pairs_is_the_one_asked_for(corpus):
    wanted = 50
    rows = rows_for_pairs(corpus.streams["mono"], wanted, multiple=1)
    plan = BatchPlan(corpus, rows={"mono": rows}, seed=0, stage=0)
    counts = [
        (batch_at(plan, step)["mono"]["span_lengths"][..., 0] > 0).sum()
        for step in range(BLOCK_ROWS // rows)
    ]
    assert np.mean(counts) == pytest.approx(wanted, rel=0.05)


def test_rows_that_do_not_divide_are_refused_with_the_numbers():
    check_division({"mono": 8, "pair": 16}, 8, "devices")
    with pytest.raises(UserError, match="12 pair rows .* 8 devices; set row_multiple"):
        check_division({"mono": 8, "pair": 12}, 8, "devices")


@pytest.fixture
def damaged(corpus, tmp_path):
    """A copy of the corpus that a test may damage, and one of its shards."""
    folder = shutil.copytree(corpus.directory, tmp_path / "copy")
    return folder, sorted(folder.rglob("en-fr-*.tfrecord"))[1]


def test_a_missing_shard_is_told_before_the_first_batch(damaged):
    folder, shard = damaged
    shard.unlink()
    with pytest.raises(UserError, match="en-fr-00001-of-00002.tfrecord: missing"):
        open_corpus(folder, verify=False)


def test_a_corrupt_shard_is_told_before_the_first_batch(damaged):
    folder, shard = damaged
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 4
    shard.write_bytes(data)
    with pytest.raises(UserError, match="en-fr-00001.*the shard is corrupt"):
        open_corpus(folder, verify=True)


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_shard_that_goes_away_during_training_is_told(damaged, damage):
    folder, shard = damaged
    plan = BatchPlan(open_corpus(folder, verify=True), {"pair": 16}, seed=0, stage=0)
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(UserError, match="a shard, .*can no longer be read .*en-fr"):
        list(batches(plan, start=0, stop=4))
