"""A file of sentences, to a vector for every line."""

import gzip
import os

import numpy as np
import pytest
from full_disk import full_disk

from amber_jax.commands import embed
from amber_jax.commands.embed import embed_file
from amber_jax.errors import UserError
from amber_jax.inference.model import Model

SRC = b"1 2 3\n4 5\r\n\n1  2 3\ncaf\xe9\n6 7 8 9\n10 11\n"


def embedded(trained, source, tmp_path, **options):
    output, messages = tmp_path / "vectors.npy", []
    embed_file(trained, str(source), str(output), note=messages.append, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [source.name, output.name]
    )
    return np.load(output), messages


@pytest.mark.parametrize(
    "options", [{}, {"layer": 1, "pooling": "first", "normalize": True}]
)
def test_a_file_becomes_a_vector_for_every_line(
    trained, model, tmp_path, monkeypatch, options
):
    monkeypatch.setattr(embed, "_WINDOW", 3)
    source = tmp_path / "lines.txt.gz"
    long = b"1 " * 100 + b"\n"
    source.write_bytes(gzip.compress(SRC + long))
    vectors, messages = embedded(trained, source, tmp_path, **options)
    lines = ["1 2 3", "4 5", "", "1 2 3", "", "6 7 8 9", "10 11", "1 " * 62]
    with pytest.warns(UserWarning, match="without any piece: 2"):
        expected = model.encode(lines, **options)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert messages[1].startswith("8 lines -> ")
    assert messages[1].endswith("[8, 16] float32; unusable: 1 empty, 1 not_utf8")
    assert messages[2].startswith("sentences without any piece: 2")
    assert messages[3] == "sentences cut at the model's 64 positions: 1"


class Killed(BaseException):
    """What stands for a kill in the second window."""


@pytest.fixture
def killed(trained, tmp_path, monkeypatch):
    """A source whose vectors were half written, and the list of windows encoded."""
    monkeypatch.setattr(embed, "_WINDOW", 3)
    source, windows = tmp_path / "lines.txt", []
    source.write_bytes(SRC)
    encode = Model.encode_counting

    def dying(model, window, *arguments, **options):
        windows.append(window)
        if len(windows) == 2:
            raise Killed
        return encode(model, window, *arguments, **options)

    monkeypatch.setattr(Model, "encode_counting", dying)
    with pytest.raises(Killed):
        embed_file(trained, str(source), str(tmp_path / "vectors.npy"), note=str)
    return source, windows


def test_after_a_kill_the_rest_is_computed_to_the_same_bytes(trained, killed, tmp_path):
    source, windows = killed
    assert not (tmp_path / "vectors.npy").exists()
    _, messages = embedded(trained, source, tmp_path)
    assert [len(window) for window in windows] == [3, 3, 3, 1]
    resumed = (tmp_path / "vectors.npy").read_bytes()
    _, messages_again = embedded(trained, source, tmp_path)
    assert [len(window) for window in windows[4:]] == [3, 3, 1]
    assert (tmp_path / "vectors.npy").read_bytes() == resumed
    assert messages == messages_again  # counts of both parts together


@pytest.mark.parametrize("option", [{"layer": 1}, {"dtype": "bfloat16"}])
def test_after_a_kill_other_vectors_are_computed_from_the_start(
    option, trained, killed, tmp_path
):
    source, windows = killed
    embedded(trained, source, tmp_path, **option)
    assert [len(window) for window in windows[2:]] == [3, 3, 1]


def cut_short(vectors, progress):
    os.truncate(vectors, vectors.stat().st_size - 200)


@pytest.mark.parametrize(
    "damage",
    [
        cut_short,
        lambda vectors, progress: vectors.unlink(),
        lambda vectors, progress: progress.write_text("{}"),
        lambda vectors, progress: progress.write_text('{"made_by"'),
        lambda vectors, progress: progress.write_text(
            progress.read_text().replace('"rows": 3', '"rows": null')
        ),
    ],
)
def test_after_a_kill_what_was_damaged_is_computed_from_the_start(
    damage, trained, killed, model, tmp_path
):
    source, windows = killed
    folder = tmp_path / "vectors.npy.partial"
    damage(folder / "vectors.npy", folder / "vectors.progress")
    vectors, _ = embedded(trained, source, tmp_path)
    assert [len(window) for window in windows[2:]] == [3, 3, 1]
    lines = ["1 2 3", "4 5", "", "1 2 3", "", "6 7 8 9", "10 11"]
    with pytest.warns(UserWarning, match="without any piece: 2"):
        np.testing.assert_allclose(vectors, model.encode(lines), atol=1e-5)


def test_a_full_disk_leaves_what_is_done_and_the_rest_is_computed(
    trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(embed, "_WINDOW", 3)
    source, windows = tmp_path / "lines.txt", []
    source.write_bytes(SRC)
    room = 128 + 4 * 16 * 4  # bytes: the header and four of seven vectors
    encode = Model.encode_counting

    def counting(model, window, *arguments, **options):
        windows.append(len(window))
        return encode(model, window, *arguments, **options)

    with monkeypatch.context() as patched, full_disk(room + 100):
        patched.setattr(Model, "encode_counting", counting)
        with pytest.raises(UserError, match="make room there; the same command then"):
            embed_file(trained, str(source), str(tmp_path / "vectors.npy"), note=str)
    assert windows == [3, 3]
    monkeypatch.setattr(Model, "encode_counting", counting)
    vectors, _ = embedded(trained, source, tmp_path)
    assert windows[2:] == [3, 1]
    whole, _ = embedded(trained, source, tmp_path)
    np.testing.assert_array_equal(vectors, whole)


def test_after_a_kill_another_text_is_told(trained, killed, tmp_path):
    source, _ = killed
    source.write_bytes(b"9 " + SRC)
    with pytest.raises(UserError, match="lines.txt has changed since its first 3"):
        embedded(trained, source, tmp_path)
    assert len(embedded(trained, source, tmp_path)[0]) == 7


def test_an_empty_file_becomes_no_vectors(trained, tmp_path):
    source = tmp_path / "none.txt"
    source.write_bytes(b"")
    vectors, _ = embedded(trained, source, tmp_path)
    assert vectors.shape == (0, 16)


def test_a_file_that_ends_too_early_leaves_no_vectors(trained, tmp_path, monkeypatch):
    source = tmp_path / "lines.gz"
    source.write_bytes(gzip.compress(SRC)[:-9])
    with pytest.raises(UserError, match=r"lines.gz: cannot be read to its end"):
        embedded(trained, source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lines.gz"]


@pytest.mark.parametrize("output", ["no/such/folder.npy", "."])
def test_an_output_that_cannot_be_written_is_told(trained, tmp_path, output):
    source = tmp_path / "one.txt"
    source.write_bytes(b"1\n")
    with pytest.raises(UserError, match="cannot be written"):
        embed_file(trained, str(source), str(tmp_path / output), note=str)


def test_vectors_cannot_go_to_a_pipe(trained, tmp_path):
    with pytest.raises(UserError, match="--output is -"):
        embed_file(trained, "none.txt", "-", note=str)
