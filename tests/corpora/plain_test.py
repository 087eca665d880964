"""Slices of files: together they are the file, line by line."""

import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amber_jax.corpora import plain
from amber_jax.corpora.plain import BLOCK_LINES, plain_file, read_slice
from amber_jax.corpora.text import read_lines
from amber_jax.corpora.units import cut_units


def slices_of(file, unit_bytes):
    return [part for (part,) in cut_units([file], unit_bytes=unit_bytes)]


@given(
    lines=st.integers(0, 3 * BLOCK_LINES),
    ends_in_line_end=st.booleans(),
    unit_bytes=st.integers(1, 2000),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_slices_cover_every_line_once(tmp_path, lines, ends_in_line_end, unit_bytes):
    path = tmp_path / "a.txt"
    content = b"\n".join(b"line %d" % number for number in range(lines))
    path.write_bytes(content + b"\n" * (ends_in_line_end and lines > 0))
    file = plain_file(path, tmp_path / "unused")
    parts = slices_of(file, unit_bytes)
    assert file.lines == lines
    assert [line for part in parts for line in read_slice(part)] == [*read_lines(path)]


def test_blocks_begin_in_the_right_place_across_chunks(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_bytes(b"".join(b"%d\n" % (number**3) for number in range(1000)))
    whole = plain_file(path, tmp_path / "unused")
    small = (path.read_bytes()[i : i + 7] for i in range(0, path.stat().st_size, 7))
    monkeypatch.setattr(plain, "read_chunks", lambda _: small)
    assert plain_file(path, tmp_path / "unused") == whole


@pytest.mark.parametrize("suffix", [".gz", ".GZ"])
def test_a_compressed_file_is_unpacked_into_the_copy(tmp_path, suffix):
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(gzip.compress(b"one\ntwo"))
    file = plain_file(path, tmp_path / "copy")
    assert (file.path, file.lines) == (tmp_path / "copy", 2)
    assert (tmp_path / "copy").read_bytes() == b"one\ntwo"


def test_parallel_files_are_cut_at_the_same_lines(tmp_path):
    src, tgt = tmp_path / "a.en", tmp_path / "a.de"
    src.write_bytes(b"".join(b"%d\n" % number for number in range(500)))
    tgt.write_bytes(
        b"".join(b"%d %s\n" % (n, b"x" * (n % 70)) for n in range(500))[:-1]
    )
    files = [plain_file(path, tmp_path / "unused") for path in (src, tgt)]
    units = cut_units(files, unit_bytes=1000)
    assert len(units) > 3
    for unit in units:
        sides = zip(*map(read_slice, unit), strict=True)
        assert all(b.split(b" ")[0] == a for a, b in sides)


@pytest.mark.parametrize("unit_bytes", [1, 10_000_000])
def test_a_unit_is_at_least_one_block_and_at_most_the_file(tmp_path, unit_bytes):
    path = tmp_path / "a.txt"
    path.write_bytes(b"x\n" * (4 * BLOCK_LINES))
    parts = slices_of(plain_file(path, tmp_path / "unused"), unit_bytes)
    assert len(parts) == (4 if unit_bytes == 1 else 1)
