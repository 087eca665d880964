"""Files of object storage, as the seam gives them: whole, or one sentence."""

import copy

import numpy as np
import pytest

from amber_jax import files, storage
from amber_jax.errors import StorageError, UserError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(storage.CACHE_VARIABLE, str(tmp_path / "cache"))


def test_a_users_word_is_a_path_here_or_in_storage(tmp_path):
    assert storage.location(str(tmp_path)) == tmp_path
    assert not storage.is_remote(storage.location("runs/mine"))
    remote = storage.location("gs://bucket/runs/mine/")
    assert storage.is_remote(remote)
    assert str(remote / "config.json") == "gs://bucket/runs/mine/config.json"
    assert str(remote.parent) == "gs://bucket/runs"
    assert (remote / "a.tsv.xz").suffix == ".xz"
    with pytest.raises(UserError, match="ftp://x/y: unknown kind of storage"):
        storage.location("ftp://x/y")
    with pytest.raises(UserError, match="names no bucket"):
        storage.location("gs://")


def test_files_are_written_whole_read_and_listed(object_store, tmp_path):
    folder = storage.location(object_store.path("a folder"))
    assert not folder.exists()
    files.make_folder(folder)
    files.write_json(folder / "x.json", {"é": 1})
    files.write_text(folder / "b" / "two.txt", "one\r\ntwo\n")
    with files.new_file(folder / "b" / "three") as file:
        file.write(bytes(3 << 20))
    assert files.read_object(folder / "x.json", "") == {"é": 1}
    with (folder / "b" / "two.txt").open(newline="") as lines:
        assert list(lines) == ["one\r\n", "two\n"]
    assert [path.name for path in folder.iterdir()] == ["b", "x.json"]
    assert [path.name for path in folder.glob("*.json")] == ["x.json"]
    assert (folder / "b").is_dir() and not (folder / "b").is_file()
    assert (folder / "b" / "three").stat().st_size == 3 << 20
    table = files.file_table(folder)
    assert list(table) == ["b/three", "b/two.txt", "x.json"]
    assert files.table_damage(folder, table) is None
    object_store.put("a folder/x.json", b"other")
    assert files.table_damage(folder, table) == "x.json has 5 bytes, not 13"
    with pytest.raises(ZeroDivisionError), files.new_file(folder / "y") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert not (folder / "y").exists()
    files.remove_folder(folder)
    assert not object_store.names()


def test_a_folder_that_was_cut_off_is_known_and_replaced(object_store, tmp_path):
    path = storage.location(object_store.path("model"))

    def write(replace=False):
        with files.new_folder(path, replace=replace) as folder:
            for name in "abc":
                (folder / name).write_text(name)

    object_store.fail(status=403, method="write", name="model/b")
    with pytest.raises(StorageError, match="model/b cannot be written .*Forbidden.*"):
        write()
    assert object_store.names() == ["model.partial", "model/a"]
    assert [left.name for left in files.unfinished(path.parent)] == ["model.partial"]
    with pytest.raises(UserError, match="model is not whole"):
        storage.local_copy(path)
    object_store.faults.clear()
    write()
    assert object_store.names() == ["model/a", "model/b", "model/c"]
    with pytest.raises(UserError, match="cannot be written .Directory not empty"):
        write()
    object_store.put("model/old", b"")
    write(replace=True)
    assert object_store.names() == ["model/a", "model/b", "model/c"]


def test_a_local_copy_is_fetched_once_and_whole(object_store, tmp_path):
    object_store.put("corpus/rows/x.npy", b"")
    np.save(tmp_path / "x.npy", np.arange(1000))
    object_store.put("corpus/rows/x.npy", (tmp_path / "x.npy").read_bytes())
    object_store.put("corpus/manifest.json", b"{}")
    path = storage.location(object_store.path("corpus"))
    assert storage.local_copy(tmp_path) == tmp_path
    object_store.fail(kept=100, method="GET", name="x.npy", times=1)
    object_store.fail(flipped=300, method="GET", name="x.npy", times=1, skipped=1)
    copy = storage.local_copy(path)
    assert np.load(copy / "rows" / "x.npy", mmap_mode="r").sum() == 499500
    asked = [name for _, name in object_store.requests]
    assert storage.local_copy(path) == copy
    more = object_store.requests[len(asked) :]
    assert not [name for method, name in more if name.endswith("json") and method]
    object_store.put("corpus/manifest.json", b"{ }")
    newer = storage.local_copy(path)
    assert newer != copy and (newer / "manifest.json").read_bytes() == b"{ }"
    with pytest.raises(FileNotFoundError):
        storage.local_copy(path / "absent")


def test_ranges_that_arrive_short_are_asked_again(object_store):
    object_store.put("x", bytes(range(200)))
    path = storage.location(object_store.path("x"))
    assert path.read_range(10, 20) == bytes(range(10, 20))
    with path.open("rb") as file:
        file.seek(100)
        assert file.read(5) == bytes(range(100, 105))


def test_failures_are_one_sentence(object_store):
    path = storage.location(object_store.path("x"))
    object_store.fail(status=403)
    with pytest.raises(StorageError, match=r"^gs://\S+/x cannot be written .Forbidden"):
        files.write_text(path, "")
    with pytest.raises(UserError, match="Forbidden.*a sentence of advice"):
        files.read_json(path, "a sentence of advice")
    object_store.faults.clear()
    nowhere = storage.location("gs://amber-no-such-bucket/x")
    with pytest.raises(StorageError, match="there is no such bucket.; make the bucket"):
        files.write_text(nowhere, "")
    with pytest.raises(UserError, match="No such file or directory.; advice"):
        files.read_json(nowhere, "advice")


def test_an_object_is_written_only_over_the_version_that_was_seen(object_store):
    path = storage.location(object_store.path("lease"))
    version = path.replace_version(b"a", "0")
    for stale in ("0", "12345"):
        with pytest.raises(FileExistsError):
            path.replace_version(b"b", stale)
        with pytest.raises(FileExistsError):
            path.remove_version(stale)
    before = path.seen()
    object_store.skew = 3600.0
    later = path.replace_version(b"b", version)
    assert later != version and path.seen().info.version == later
    assert 3590 < path.seen().info.updated - before.info.updated < 3700
    assert abs(path.seen().now - path.seen().info.updated) < 10
    path.remove_version(later)
    assert path.seen() is None


def test_what_storage_refused_a_worker_comes_as_it_was():
    error = StorageError("gs://b/c", "read", "no answer", "wait", passes=True)
    of_worker = copy.copy(error)
    assert str(of_worker) == str(error) == "gs://b/c cannot be read (no answer); wait"
    assert (of_worker.passes, of_worker.strerror) == (True, "no answer")
