"""The server that other tests trust: it keeps preconditions, and fails when told to."""

import concurrent.futures
import email.utils
import http.client
import time
import urllib.request

import gcsfs
import pytest
import tensorstore as ts


def file_system():
    return gcsfs.GCSFileSystem(skip_instance_cache=True, use_listings_cache=False)


def test_gcsfs_and_tensorstore_see_what_the_other_wrote(object_store):
    files = file_system()
    files.pipe_file(object_store.path("a/b"), b"0123456789")
    kvstore = ts.KvStore.open(object_store.path("a/")).result()
    assert kvstore.read("b").result().value == b"0123456789"
    kvstore.write("c", b"more").result()
    assert files.cat_file(object_store.path("a/c")) == b"more"
    assert files.cat_file(object_store.path("a/b"), 2, 5) == b"234"
    assert object_store.names("a/") == ["a/b", "a/c"]


def test_a_generation_that_is_named_must_be_that_of_the_object(object_store):
    assert object_store.put("x", b"first", generation=0) == 200
    assert object_store.put("x", b"second", generation=0) == 412
    held = object_store.generation("x")
    assert object_store.put("x", b"third", generation=held) == 200
    assert object_store.put("x", b"fourth", generation=held) == 412
    assert object_store.get("x") == b"third"


def test_what_has_not_changed_has_no_body_and_the_connection_goes_on(object_store):
    object_store.put("x", b"0123456789")
    connection = http.client.HTTPConnection(object_store.url.removeprefix("http://"))
    path = f"/storage/v1/b/{object_store.bucket}/o/x?alt=media"
    held = object_store.generation("x")
    for query, status, body in (
        (f"&ifGenerationNotMatch={held}", 304, b""),
        ("&ifGenerationNotMatch=1", 200, b"0123456789"),
    ):
        connection.request("GET", path + query)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (status, body)
    connection.close()


def test_an_object_is_created_once_however_it_is_sent(object_store):
    files, large = file_system(), b"." * (6 << 20)  # sent in parts
    for content in (b"small", large):
        path = object_store.path(f"of-{len(content)}")
        files.pipe_file(path, content, mode="create")
        with pytest.raises(FileExistsError):
            files.pipe_file(path, b"another", mode="create")
        assert files.cat_file(path) == content


def test_of_two_writers_to_one_database_no_key_is_lost(object_store):
    """tensorstore compares generations; a server that ignored them would lose keys."""
    spec = {"driver": "ocdbt", "base": object_store.path("db/")}
    databases = [ts.KvStore.open(spec, context=ts.Context()).result() for _ in "ab"]

    def write(number):
        databases[number % 2].write(f"key{number}", b"value").result()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(24)))
    fresh = ts.KvStore.open(spec, context=ts.Context()).result()
    assert len(fresh.list().result()) == 24


def test_faults_reach_the_client(object_store):
    files = file_system()
    path = object_store.path("x")
    files.pipe_file(path, b"0123456789")

    object_store.fail(status=403, method="write", times=1)
    with pytest.raises(OSError, match="Forbidden"):
        files.pipe_file(path, b"refused")
    files.pipe_file(path, b"0123456789")

    object_store.fail(status=503, name="x", skipped=1, times=2)
    assert [bool(object_store.get("x")) for _ in "1234"] == [True, False, False, True]

    object_store.fail(flipped=3, times=1)
    assert object_store.get("x") == b"0122456789"

    object_store.fail(kept=4, method="GET", times=1)
    with pytest.raises(Exception, match="IncompleteRead"):
        object_store.get("x")

    object_store.fail(seconds=0.2, times=1)
    begun = time.monotonic()
    assert object_store.get("x") == b"0123456789"
    assert time.monotonic() - begun >= 0.2


def test_the_servers_clock_can_be_another(object_store):
    files = file_system()
    object_store.skew = 3600.0
    files.pipe_file(object_store.path("x"), b"1")
    ahead = files.modified(object_store.path("x")).timestamp() - time.time()
    assert 3500 < ahead < 3700
    url = f"{object_store.url}/storage/v1/b/{object_store.bucket}"
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
        date = email.utils.parsedate_to_datetime(answer.headers["Date"])
    assert 3500 < date.timestamp() - time.time() < 3700


def test_each_test_has_a_bucket_of_its_own(object_store):
    assert not object_store.names()
    assert not object_store.faults
