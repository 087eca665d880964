"""Parquet, Arrow and saved data sets, and zstd, through pyarrow."""

import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from amber_jax.corpora.conversion import Conversion
from amber_jax.corpora.downloads import RecordPairSource, RecordSource
from amber_jax.corpora.text import read_lines
from amber_jax.errors import UserError

ARTICLES = pa.table(  # the columns of wikimedia/wikipedia
    {
        "id": ["1", "2", "3"],
        "url": ["u"] * 3,
        "title": ["A", "B", "C"],
        "text": ["One.\n\nTwo.", None, "Three."],
    }
)
ROWS = [("One.",), ("Two.",), ("",), ("Three.",), ("",)]
PAIRS = [{"en": "Yes.", "fr": "Oui."}, {"en": "No.", "fr": None}]


def write_stream(table, path):
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as to,
    ):
        to.write_table(table)


def write_file(table, path):
    with pa.ipc.new_file(str(path), table.schema) as file:
        file.write_table(table, max_chunksize=1)


WRITERS = [
    ("a.parquet", pq.write_table),
    ("a.arrow", write_stream),
    ("b.arrow", write_file),
]


def rows_of(source):
    facts = Conversion()
    return list(source.rows(facts)), facts.left_out


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_columns_are_read_whatever_holds_them(tmp_path, name, write):
    path = tmp_path / name
    write(ARTICLES, path)
    assert rows_of(RecordSource("fr", path)) == (ROWS, {"no_text": 1})
    rows, _ = rows_of(RecordSource("fr", path, "title"))
    assert rows[::2] == [("A",), ("B",), ("C",)]


@pytest.mark.parametrize(("name", "write"), WRITERS)
@pytest.mark.parametrize("outer", [True, False])
def test_pairs_stand_in_one_column_or_in_two(tmp_path, name, write, outer):
    rows = [{"translation": pair} for pair in PAIRS] if outer else PAIRS
    write(pa.Table.from_pylist(rows), tmp_path / name)
    pairs, _ = rows_of(RecordPairSource("fr", "en", tmp_path / name))
    assert pairs == [("Oui.", "Yes."), ("", "No.")]


def test_a_saved_data_set_is_the_files_that_its_state_names(tmp_path):
    """As `datasets` 5.2 saves them, with a file of its cache beside."""
    folder = tmp_path / "train"
    folder.mkdir()
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    names = [f"data-0000{number}-of-00002.arrow" for number in range(2)]
    for name in names:
        write_stream(ARTICLES, folder / name)
    write_stream(ARTICLES, folder / "cache-1.arrow")
    state = {"_data_files": [{"filename": name} for name in names]}
    (folder / "state.json").write_text(json.dumps(state))
    source = RecordSource("fr", tmp_path)
    assert source.files() == tuple(folder / name for name in names)
    assert [part.path for part in source.parts()] == list(source.files())
    assert [row for part in source.parts() for row in rows_of(part)[0]] == ROWS * 2
    assert rows_of(source) == (ROWS * 2, {"no_text": 2})


def test_of_a_folder_of_parquet_files_training_ones_are_read(tmp_path):
    for name in ("train-00001-of-2", "train-00000-of-2", "test-00000-of-1"):
        pq.write_table(ARTICLES, tmp_path / f"{name}.parquet")
    names = [part.path.name for part in RecordSource("fr", tmp_path).parts()]
    assert names == ["train-00000-of-2.parquet", "train-00001-of-2.parquet"]


def test_a_folder_of_wikiextractor_is_its_files(tmp_path):
    (tmp_path / "AA").mkdir()
    for number in range(2):
        path = tmp_path / "AA" / f"wiki_0{number}"
        path.write_text(json.dumps({"id": "1", "text": f"Text {number}."}) + "\n")
    parts = RecordSource("fr", tmp_path).parts()
    rows = [row for part in parts for row in rows_of(part)[0]]
    assert rows == [("Text 0.",), ("",), ("Text 1.",), ("",)]


@pytest.mark.parametrize(
    "state", ["{}", '{"_data_files": [1]}', '{"_data_files": []}', "no"]
)
def test_a_folder_that_is_no_data_set_is_one_sentence(tmp_path, state):
    with pytest.raises(UserError, match=r"no state.json .* and no Parquet files"):
        RecordSource("fr", tmp_path).files()
    (tmp_path / "state.json").write_text(state)
    with pytest.raises(UserError, match=r"state.json.*; save the data set again"):
        RecordSource("fr", tmp_path).files()


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_a_file_that_is_cut_off_is_one_sentence(tmp_path, name, write):
    path = tmp_path / name
    write(ARTICLES, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="cannot be read to its end") as caught:
        rows_of(RecordSource("fr", path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path, name, write):
    write(ARTICLES, tmp_path / name)
    with pytest.raises(UserError, match="columns id, url, title, text; wanted body"):
        rows_of(RecordSource("fr", tmp_path / name, "body"))


def test_zstandard_is_read_over_all_frames_and_cut_off_is_an_error(tmp_path):
    packed = pa.compress(b"one\ntwo\n" * 900, "zstd", asbytes=True)
    path = tmp_path / "a.txt.zst"
    path.write_bytes(packed * 2)
    assert list(read_lines(path)) == [b"one", b"two"] * 1800
    path.write_bytes(packed[:-5])
    with pytest.raises(UserError, match="cannot be read to its end"):
        list(read_lines(path))


def test_what_pyarrow_reads_names_its_extra_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.txt.zst").write_bytes(b"x")
    (tmp_path / "a.parquet").write_bytes(b"x")
    with pytest.raises(UserError, match=r"amber_jax\[corpora\]"):
        list(read_lines(tmp_path / "a.txt.zst"))
    with pytest.raises(UserError, match=r"amber_jax\[corpora\]"):
        rows_of(RecordSource("fr", tmp_path / "a.parquet"))
