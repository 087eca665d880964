"""What is written is whole or not there; what is read is a value or one sentence."""

import copy
import errno
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from full_disk import full_disk
from hypothesis import given
from hypothesis import strategies as st

from amber_jax.errors import DiskFull, UserError
from amber_jax.files import (
    PARTIAL,
    failure,
    file_table,
    fingerprint,
    make_folder,
    new_file,
    new_folder,
    parse_json,
    publish,
    read_json,
    read_object,
    table_damage,
    workplace,
    write_json,
    write_text,
    writing,
)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_has_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    with new_file(path) as file:
        file.write(b"half")
        assert not path.exists()
    assert path.read_bytes() == b"half"
    assert names_in(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_what_ends_the_block_leaves_the_file_of_before(tmp_path, error):
    path = tmp_path / "a.txt"
    write_text(path, "before")
    with pytest.raises(type(error)), new_file(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "before"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_full_disk_is_one_sentence_and_leaves_the_file_of_before(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")
    with full_disk(), pytest.raises(UserError, match="a.txt cannot be written"):
        write_text(path, "x" * 1000)
    assert path.read_text() == "before"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_failed_read_inside_the_block_is_not_said_to_be_of_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), new_file(tmp_path / "a.txt"):
        (tmp_path / "input").read_bytes()
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "a"):
        (tmp_path / "input").read_bytes()
    assert names_in(tmp_path) == []


def test_a_name_that_cannot_be_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "no" / "a", tmp_path / "file" / "a"):
        with pytest.raises(UserError, match="cannot be written"):
            write_text(path, "x")
    with pytest.raises(UserError, match="cannot be written"):
        make_folder(tmp_path / "file" / "a")


def test_a_folder_has_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "model"
    with new_folder(path) as folder:
        (folder / "a").write_text("1")
        assert not path.exists()
    assert names_in(tmp_path) == ["model"]
    assert (path / "a").read_text() == "1"


def test_a_full_disk_leaves_no_part_of_a_folder(tmp_path):
    with (
        full_disk(),
        pytest.raises(UserError, match="model.*cannot be written"),
        new_folder(tmp_path / "model") as folder,
    ):
        (folder / "a").write_text("x" * 1000)
    assert names_in(tmp_path) == []


def test_the_current_folder_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="current folder"), new_folder(Path()):
        pass
    assert names_in(tmp_path) == []


def test_what_a_folder_holds_is_replaced_only_if_that_is_wanted(tmp_path):
    path = tmp_path / "model"
    for content in ("1", "2"):
        with new_folder(path, replace=True) as folder:
            (folder / "a").write_text(content)
    refused = pytest.raises(UserError, match="cannot be written")
    with refused, new_folder(path) as folder:
        (folder / "a").write_text("3")
    assert (path / "a").read_text() == "2"
    assert names_in(tmp_path) == ["model"]


def test_what_a_killed_process_left_is_cleared(tmp_path):
    left = tmp_path / f"model{PARTIAL}" / "model"
    left.mkdir(parents=True)
    (left / "half").write_text("")
    with new_folder(tmp_path / "model") as folder:
        assert names_in(folder) == []
    assert names_in(tmp_path / "model") == []


def test_a_folder_is_written_by_one_at_a_time(tmp_path):
    path = tmp_path / "model"
    with new_folder(path) as folder:
        (folder / "a").write_text("1")
        with pytest.raises(UserError, match="another process"), workplace(path):
            pass
        assert (folder / "a").exists()
    assert names_in(path) == ["a"]


def test_publishing_onto_a_full_folder_is_refused(tmp_path):
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    with pytest.raises(UserError, match="old cannot be written"):
        publish(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "a").read_text() == "old"


def test_a_failure_is_told_in_the_systems_words():
    wrapped = ValueError(f"RESOURCE_EXHAUSTED: {'x' * 500}: No space left on device 7")
    assert failure(wrapped) == "No space left on device"
    assert failure(OSError(28, "No space left on device")) == "No space left on device"
    assert failure(ValueError("one\n  two")) == "one two"
    assert failure(ValueError()) == "ValueError"


def test_a_librarys_own_error_is_told_as_well(tmp_path):
    refused = pytest.raises(UserError, match="a cannot be written .*Read-only file")
    with refused, writing(tmp_path / "a", errors=ValueError):
        raise ValueError("libx: Read-only file system [line 7]")


def tree_in(folder):
    (folder / "inner").mkdir()
    (folder / "a").write_bytes(b"abc")
    (folder / "inner" / "b").write_bytes(bytes(range(256)))
    return file_table(folder)


def test_a_table_tells_every_difference(tmp_path):
    table = tree_in(tmp_path)
    assert set(table) == {"a", "inner/b"}
    assert table_damage(tmp_path, table) is None
    path = tmp_path / "inner" / "b"
    content = path.read_bytes()
    for bad in (content[:-1], content + b"x", content[:7] + b"x" + content[8:]):
        path.write_bytes(bad)
        assert table_damage(tmp_path, table).startswith("inner/b ")
    path.unlink()
    assert table_damage(tmp_path, table) == "inner/b is missing"


@pytest.mark.parametrize("name", ["", "{outside}", "../a", "inner/../../a", "a\0"])
def test_a_table_reaches_nothing_outside_its_folder(tmp_path, name):
    outside, tree = tmp_path / "a", tmp_path / "tree"
    tree.mkdir()
    table = tree_in(tree)
    shutil.copy(tree / "a", outside)  # whoever reached it would find it whole
    assert table_damage(tmp_path, {"a": table["a"]}) is None
    assert table_damage(tree, {name.format(outside=outside): table["a"]})


@pytest.mark.parametrize("entry", [None, 3, {}, {"bytes": "3"}, {"bytes": True}])
def test_an_entry_of_another_kind_is_damage(tmp_path, entry):
    tree_in(tmp_path)
    assert "not a size and a sha256" in table_damage(tmp_path, {"a": entry})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_json_comes_back_as_it_was(tmp_path_factory, value):
    if "\ud800" <= max(json.dumps(value, ensure_ascii=False), default="") <= "\udfff":
        return
    path = tmp_path_factory.mktemp("json") / "a.json"
    write_json(path, value)
    assert read_json(path, "") == value
    assert fingerprint(value) == fingerprint(json.loads(path.read_text()))


DEEP = ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000]


@pytest.mark.parametrize(
    "text",
    ["", "{", "nul", "\x80", '"\ud800', "9" * 10_000, *DEEP],
    ids=lambda t: t[:9],
)
def test_text_that_is_no_json_is_refused_in_one_sentence(tmp_path, text):
    content = text.encode("utf-8", "surrogatepass")
    if text == "\x80":
        content = b"\x80"
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="a.json is not a readable JSON.*do this"):
        read_json(path, "do this")
    with pytest.raises(ValueError):
        parse_json(content)


def test_depth_is_refused_in_a_thread_too():
    caught = []

    def parse():
        try:
            parse_json(DEEP[0])
        except ValueError as error:
            caught.append(error)

    thread = threading.Thread(target=parse)
    thread.start()
    thread.join()
    assert caught


def test_a_json_file_that_is_missing_or_no_object_is_refused(tmp_path):
    with pytest.raises(UserError, match="a.json cannot be read .*do this"):
        read_object(tmp_path / "a.json", "do this")
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(UserError, match="not a JSON object; do this"):
        read_object(tmp_path / "a.json", "do this")


def test_what_a_worker_had_no_room_for_leaves_what_is_done(tmp_path):
    with pytest.raises(DiskFull) as error, writing(tmp_path / "c"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    of_worker = copy.copy(error.value)  # its cause stays there
    with (
        pytest.raises(DiskFull, match="No space left on device"),
        workplace(tmp_path / "c", resumed="*.progress") as folder,
    ):
        (folder / "work.progress").mkdir()
        raise of_worker
    assert (tmp_path / "c.partial" / "work.progress").is_dir()
