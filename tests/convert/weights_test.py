"""Files of weights: read without trust, written whole or in shards."""

import io
import json
import pickle
import struct
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp
from safetensors.numpy import save_file

from amber_jax.convert.weights import as_float32, read_weights, write_weights
from amber_jax.errors import UserError

MODEL, BIN = "model.safetensors", "pytorch_model.bin"
INDEX = "model.safetensors.index.json"


def some_tensors(*sizes):
    return {
        f"tensor {number}": np.arange(size, dtype=np.float32) + number
        for number, size in enumerate(sizes)
    }


def refused(folder, *words):
    """Asserts that the folder's weights are refused with these words, in one line."""
    with pytest.raises(UserError) as raised:
        read_weights(folder)
    assert "\n" not in str(raised.value)
    for word in words:
        assert word in str(raised.value), raised.value


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=8),
    limit=st.integers(1, 400),
)
def test_shards_hold_everything_and_keep_their_limit(tmp_path_factory, sizes, limit):
    folder = tmp_path_factory.mktemp("shards")
    tensors = some_tensors(*sizes)
    write_weights(folder, tensors, max_shard_bytes=limit)
    stored = read_weights(folder)
    assert stored.keys() == tensors.keys()
    assert all(np.array_equal(stored[name], tensors[name]) for name in tensors)
    if (folder / INDEX).exists():
        places = json.loads((folder / INDEX).read_text())["weight_map"]
        for file in set(places.values()):
            held = [name for name, place in places.items() if place == file]
            size = sum(tensors[name].nbytes for name in held)
            assert size <= limit or len(held) == 1
    else:
        assert len(tensors) == 1 or sum(t.nbytes for t in tensors.values()) <= limit


def test_others_may_read_what_was_written(tmp_path):
    write_weights(tmp_path, some_tensors(3), max_shard_bytes=100)
    assert (tmp_path / MODEL).stat().st_mode & 0o600 == 0o600
    wanted = tmp_path.stat().st_mode & 0o666
    assert (tmp_path / MODEL).stat().st_mode & 0o777 == wanted


@pytest.mark.parametrize("kind", [np.float16, jnp.bfloat16, np.float64])
def test_other_floats_are_cast_and_that_is_said(kind, tmp_path):
    values = np.array([0.5, -2.0], kind)
    save_file({"a": values, "b": np.ones(2, np.float32)}, tmp_path / MODEL)
    cast, said = as_float32(read_weights(tmp_path), origin="here")
    assert cast["a"].dtype == np.float32 and cast["a"].tolist() == [0.5, -2.0]
    assert said == f"1 arrays were cast to float32 from {np.dtype(kind)}"


def test_float32_is_kept_without_a_word(tmp_path):
    save_file({"a": np.ones(2, np.float32)}, tmp_path / MODEL)
    assert as_float32(read_weights(tmp_path), origin="here")[1] == ""


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([1, 2], np.int8), "type int8"),
        (np.array([1.0, np.nan], np.float32), "holds NaN or Inf"),
        (np.array([np.inf], np.float16), "holds NaN or Inf"),
    ],
)
def test_numbers_that_are_no_weights_are_refused(array, words):
    with pytest.raises(UserError, match=f"here: a .*{words}"):
        as_float32({"a": array}, origin="here")


def test_a_folder_without_weights_is_refused(tmp_path):
    refused(tmp_path, "has no weights", MODEL, BIN)


@pytest.mark.parametrize("kept", [0, 7, 8, 60, -1])
def test_a_truncated_file_is_refused(kept, tmp_path):
    save_file(some_tensors(10, 10), tmp_path / MODEL)
    whole = (tmp_path / MODEL).read_bytes()
    (tmp_path / MODEL).write_bytes(whole[:kept])
    refused(tmp_path, MODEL, "is damaged")


def safetensors_bytes(header, body=b"", claimed=None):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + body


HUGE = 1 << 60


@pytest.mark.parametrize(
    "content",
    [
        safetensors_bytes({}, claimed=HUGE),
        safetensors_bytes({}, claimed=2**64 - 1),
        safetensors_bytes(
            {"a": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}
        ),
        safetensors_bytes(
            {"a": {"dtype": "F32", "shape": [HUGE, HUGE], "data_offsets": [0, 4]}},
            b"1234",
        ),
        safetensors_bytes(
            {"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, b"1234"
        ),
        safetensors_bytes(
            {"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, b"12345678"
        ),
        safetensors_bytes(
            {"a": {"dtype": "F9", "shape": [1], "data_offsets": [0, 4]}}, b"1234"
        ),
        safetensors_bytes(
            {"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}, b"1234"
        ),
        safetensors_bytes([1, 2]),
        b"\x80\x04not a safetensors file",
    ],
)
def test_a_header_that_lies_is_refused(content, tmp_path):
    (tmp_path / MODEL).write_bytes(content)
    refused(tmp_path, MODEL, "use an intact copy")


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "a/b", "..", "", "..\\x", "a\0b", 7, None, [1]]
)
def test_an_index_that_names_files_elsewhere_is_refused(name, tmp_path):
    save_file(some_tensors(3), tmp_path / "x")
    inner = tmp_path / "one" / "two"
    inner.mkdir(parents=True)
    (inner / INDEX).write_text(json.dumps({"weight_map": {"tensor 0": name}}))
    refused(inner, INDEX)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": []}', "\0" * 9])
def test_a_damaged_index_is_refused(content, tmp_path):
    (tmp_path / INDEX).write_text(content)
    refused(tmp_path, INDEX)


def test_a_missing_shard_is_named(tmp_path):
    write_weights(tmp_path, some_tensors(9, 9, 9), max_shard_bytes=40)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    refused(tmp_path, "names model-00002-of-00003.safetensors, which is not there")


def test_a_shard_with_other_tensors_is_refused(tmp_path):
    write_weights(tmp_path, some_tensors(9, 9), max_shard_bytes=40)
    save_file({"other": np.ones(1)}, tmp_path / "model-00002-of-00002.safetensors")
    refused(tmp_path, "does not agree", "other")


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_bin_file_is_not_run_and_needs_pytorch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    content = pickle.dumps({"a": Malicious(tmp_path / "ran")})
    (tmp_path / BIN).write_bytes(content)
    refused(tmp_path, "pip install 'amber_jax[hf]'", "or give the model as safetensors")
    assert not (tmp_path / "ran").exists()


def test_a_pytorch_with_an_unsafe_reader_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", type(sys)("torch"))
    sys.modules["torch"].__version__ = "2.5.1+cpu"
    (tmp_path / BIN).write_bytes(pickle.dumps({}))
    refused(tmp_path, "PyTorch 2.5.1+cpu", "install 2.6 or newer")


@pytest.mark.parametrize("name", ["../../evil", "/evil", "a/../../evil", "..\\evil"])
def test_a_zip_with_an_entry_that_escapes_is_refused(name, tmp_path):
    with zipfile.ZipFile(tmp_path / BIN, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
        archive.writestr(name, b"")
    refused(tmp_path, "an entry that leads out of it")


def test_a_broken_zip_is_refused(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 99)
    spoilt = content.getvalue().replace(b"PK\x01\x02", b"PK\x09\x09")
    (tmp_path / BIN).write_bytes(spoilt)
    refused(tmp_path, BIN, "is damaged")
