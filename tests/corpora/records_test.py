"""Shards that any TFRecord reader reads, and damage that is found and named."""

import json
import shutil

import numpy as np
import pytest

from amber_jax.corpora.records import (
    frame,
    open_corpus,
    read_rows,
    write_manifest,
    write_shard,
)
from amber_jax.errors import UserError

ROW_LENGTH, MAX_PAIRS, ROWS_PER_SHARD = 6, 1, 3
ROWS = np.arange(9 * 8, dtype=np.int32).reshape(9, 8)


@pytest.fixture
def folder(tmp_path):
    """A corpus of one stream with three shards of three rows."""
    directory = tmp_path / "corpus"
    (directory / "shards" / "pair").mkdir(parents=True)
    shards = []
    for number in range(3):
        name = f"shards/pair/en-fr-0000{number}-of-00003.tfrecord"
        rows = ROWS[3 * number : 3 * number + 3]
        shards.append({**write_shard(directory / name, rows), "file": name})
    stream = {"shards": shards, "rows": 9, "pairs": 9, "real_tokens": 50, "rate": 1.0}
    write_manifest(
        directory,
        {
            "row_length": ROW_LENGTH,
            "max_pairs": MAX_PAIRS,
            "rows_per_shard": ROWS_PER_SHARD,
            "vocab_size": 100,
            "tokenizer_fingerprint": "abc",
            "streams": {"mono": {}, "pair": {"en-fr": stream}},
        },
    )
    return directory


def test_the_frame_is_length_crc_payload_crc():
    assert frame(np.array([[1, 2]], np.int32)).tobytes().hex(" ", 4) == (
        "08000000 00000000 ff86240f 01000000 02000000 bfdfdb7a"
    )  # as TensorFlow 2.21's TFRecordWriter wrote it


def test_tensorflow_reads_back_every_payload(folder):
    tf = pytest.importorskip("tensorflow")
    corpus = open_corpus(folder, verify=True)
    files = [str(file) for file in corpus.streams["pair"]["en-fr"].files]
    payloads = tf.data.TFRecordDataset(files).as_numpy_iterator()
    assert [np.frombuffer(p, "<i4").tolist() for p in payloads] == ROWS.tolist()


def test_rows_are_read_in_any_order_and_as_often_as_asked(folder):
    corpus = open_corpus(folder, verify=False)
    stream = corpus.streams["pair"]["en-fr"]
    indices = np.array([8, 0, 4, 4, 3])
    rows = read_rows(corpus, stream, indices)
    assert rows.dtype == np.int32
    assert rows.tolist() == ROWS[indices].tolist()
    assert read_rows(corpus, stream, np.array([], int)).shape == (0, 8)


def test_a_shard_cut_short_since_it_was_opened_gives_no_rows(folder):
    corpus = open_corpus(folder, verify=True)
    stream = corpus.streams["pair"]["en-fr"]
    stream.files[1].write_bytes(stream.files[1].read_bytes()[:-20])
    assert read_rows(corpus, stream, np.array([4])).tolist() == ROWS[[4]].tolist()
    with pytest.raises(ValueError, match="en-fr-00001.* ends before byte"):
        read_rows(corpus, stream, np.array([4, 5]))


def test_an_opened_corpus_tells_what_the_manifest_says(folder):
    corpus = open_corpus(folder, verify=True)
    stream = corpus.streams["pair"]["en-fr"]
    assert (corpus.row_length, corpus.max_pairs, corpus.rows_per_shard) == (6, 1, 3)
    assert (stream.name, stream.rows, stream.rate) == ("en-fr", 9, 1.0)
    assert len(corpus.fingerprint) == 64


def test_the_fingerprint_follows_the_content_of_the_shards(tmp_path):
    first = write_manifest(tmp_path, {"streams": {"sha256": "aa"}})
    second = write_manifest(tmp_path, {"streams": {"sha256": "ab"}})
    assert first["fingerprint"] != second["fingerprint"]


@pytest.mark.parametrize("cut", [1, 48, 96])
def test_a_truncated_shard_is_refused_with_both_sizes(folder, cut):
    shard = sorted(folder.rglob("*.tfrecord"))[1]
    shard.write_bytes(shard.read_bytes()[:-cut])
    with pytest.raises(UserError, match=f"00001.*{144 - cut} bytes long.*144 bytes"):
        open_corpus(folder, verify=False)


def test_a_missing_shard_is_refused(folder):
    sorted(folder.rglob("*.tfrecord"))[2].unlink()
    with pytest.raises(UserError, match="00002-of-00003.tfrecord: missing"):
        open_corpus(folder, verify=False)


@pytest.mark.parametrize("place", [0, 70, 143])
def test_a_flipped_bit_is_found_when_verifying(folder, place):
    shard = sorted(folder.rglob("*.tfrecord"))[0]
    data = bytearray(shard.read_bytes())
    data[place] ^= 1
    shard.write_bytes(data)
    open_corpus(folder, verify=False)
    with pytest.raises(UserError, match="00000-of-00003.tfrecord: its sha256 is"):
        open_corpus(folder, verify=True)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", "[" * 100_000, '{"streams":' * 100_000),
        *('{"format": 2}', '{"format": 1}', '{"format": 1, "fingerprint": 7}', "\x80"),
    ],
    ids=lambda text: text[:20],
)
def test_a_damaged_manifest_is_refused(folder, text):
    (folder / "manifest.json").write_text(text, "latin-1")
    with pytest.raises(UserError, match=r"manifest\.json.*build it again"):
        open_corpus(folder, verify=False)


def test_any_flipped_bit_of_the_manifest_is_noticed(folder):
    path = folder / "manifest.json"
    content = path.read_bytes()
    random = np.random.default_rng(0)
    for bit in random.choice(8 * len(content), 300, replace=False).tolist():
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(UserError):
            open_corpus(folder, verify=False)
    path.write_bytes(content)
    assert open_corpus(folder, verify=True)


def changed(manifest, keys, value):
    """`manifest` with another value at the end of `keys`, and a fitting fingerprint."""
    changed = json.loads(json.dumps(manifest))
    inner = changed
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    del changed["fingerprint"]
    return changed


STREAM = ("streams", "pair", "en-fr")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        *((("row_length",), bad) for bad in (0, -6, 5, 6.0, "6", None, True)),
        *((("rows_per_shard",), bad) for bad in (0, -1, 3.0, "3")),
        *((("max_pairs",), bad) for bad in (0, 2, -1, None)),
        *((("vocab_size",), bad) for bad in (0, -1, "x")),
        *(((*STREAM, "rate"), bad) for bad in (float("nan"), -1, 0.5, 2, "1", None)),
        *(((*STREAM, "rows"), bad) for bad in (8, -9, 9.0, "9")),
        *(((*STREAM, "real_tokens"), bad) for bad in (-1, 1.5, None)),
        *(((*STREAM, "shards", 0, "file"), bad) for bad in ("../x", "/etc/x", 7)),
        *(((*STREAM, "shards", 0, "bytes"), bad) for bad in (0, 143, "144")),
        *((("streams",), bad) for bad in ([1], None, {"pair": 3}, {"pair": [1]})),
    ],
)
def test_a_number_that_cannot_be_is_refused_whoever_vouches_for_it(folder, keys, value):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    write_manifest(folder, changed(manifest, keys, value))
    with pytest.raises(UserError, match="damaged"):
        open_corpus(folder, verify=False)


def test_a_folder_without_manifest_is_no_corpus(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(UserError, match="no finished corpus"):
        open_corpus(folder, verify=False)


def test_a_corpus_may_be_moved(folder, tmp_path):
    moved = shutil.move(folder, tmp_path / "elsewhere")
    assert open_corpus(moved, verify=True).streams["pair"]["en-fr"].rows == 9
