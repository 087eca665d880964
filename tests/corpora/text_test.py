"""Hostile bytes: every one gets a reason, none stops the reader."""

import bz2
import gzip
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amber_jax.corpora.text import (
    LINE_CAP_BYTES,
    clean_line,
    clean_lines,
    many_way_rows,
    read_lines,
    read_many_way,
    split_lines,
)
from amber_jax.errors import UserError

LINES = [
    # raw                               text            reason
    (b"One two",                        "One two",      None),
    (b"\xef\xbb\xbfOne",                "One",          None),
    (b"One\r",                          "One",          None),
    (b"One\r\r",                        "One",          None),
    (b"  One\t two  ",                  "One two",      None),
    ("a\u2028b\u2029c\x85d".encode(),   "a b c d",      None),
    (b"a\x0bb\x0cc\x1cd\x07e\x7ff",     "a b c d e f",  None),
    ("\u0915\u094d\u200d\u0937".encode(), "\u0915\u094d\u200d\u0937", None),
    ("\u202bשלום\u202c".encode(),       "\u202bשלום\u202c", None),
    (b"caf\xe9",                        None,           "not_utf8"),
    (b"\xed\xa0\x80",                   None,           "not_utf8"),
    (b"a\0b",                           None,           "nul"),
    (b"",                               None,           "empty"),
    (b" \t\r",                          None,           "empty"),
    (b"\xef\xbb\xbf",                   None,           "empty"),
    (b"x" * 101,                        None,           "too_long"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "text", "reason"), LINES)
def test_every_hostile_line_is_cleaned_or_named(raw, text, reason):
    assert clean_line(raw, max_bytes=100) == (text, reason)


_CLEAN = st.text("ab \ufffd\u0915", min_size=1).map(str.encode)
_ANY = st.sampled_from([raw for raw, _, _ in LINES])


@given(st.lists(_CLEAN | _ANY, min_size=1, max_size=4))
def test_lines_are_cleaned_together_as_each_alone(raws):
    alone = [clean_line(raw, max_bytes=100) for raw in raws]
    assert clean_lines(raws, max_bytes=100) == alone


def test_lines_end_at_line_feeds_and_nowhere_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("a\u2028b\r\n\x0b\x85\n\n\0\nlast".encode())
    assert list(read_lines(path)) == [
        "a\u2028b\r".encode(), "\x0b\x85".encode(), b"", b"\0", b"last"
    ]  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"\n", b"a", b"a\n", b"\n\na\n\n"])
def test_the_last_line_end_ends_a_line_and_begins_none(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    assert list(read_lines(path)) == content.removesuffix(b"\n").split(b"\n") * bool(
        content
    )


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        ("", bytes),
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
    ],
)
def test_compressed_files_read_like_plain_ones(tmp_path, suffix, compress):
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(compress(b"one\n" * 10 + b"two"))
    assert list(read_lines(path)) == [b"one"] * 10 + [b"two"]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("damage", ["cut", "foreign", "flipped"])
def test_a_damaged_archive_is_an_error_that_names_it(tmp_path, compress, damage):
    suffix = {gzip: ".gz", bz2: ".bz2", lzma: ".xz"}
    module = next(m for m in suffix if m.compress is compress)
    path = tmp_path / f"news{suffix[module]}"
    data = bytearray(compress(bytes(range(256)) * 100))
    data[len(data) // 2] ^= 255
    whole = compress(bytes(range(256)) * 100)
    path.write_bytes(
        {"cut": whole[:-20], "foreign": b"plain text\n", "flipped": bytes(data)}[damage]
    )
    with pytest.raises(UserError, match=f"news{suffix[module]}: cannot be read"):
        list(read_lines(path))


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(UserError, match=r"none\.txt: cannot be read to its end"):
        list(read_lines(tmp_path / "none.txt"))


def test_an_archive_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.xz"
    path.write_bytes(lzma.compress(bytes(1 << 27)))
    with pytest.raises(UserError, match="unpacks to more than 1000 times its size"):
        list(read_lines(path))


def test_a_line_of_many_megabytes_is_cut_and_rejected_as_too_long():
    chunks = [b"a\n" + b"x" * (1 << 20)] + [b"x" * (1 << 20)] * 9 + [b"\nb"]
    lines = list(split_lines(chunks))
    assert [len(line) for line in lines] == [1, LINE_CAP_BYTES + 1, 1]
    assert clean_line(lines[1], max_bytes=1 << 30) == (None, "too_long")


@given(st.binary(max_size=300), st.integers(1, 40))
def test_the_reader_never_raises_and_keeps_every_line(content, size):
    chunks = [content[i : i + size] for i in range(0, len(content), size)]
    lines = list(split_lines(chunks))
    assert b"\n".join(lines) == content.removesuffix(b"\n")
    for line in lines:
        text, reason = clean_line(line, max_bytes=64)
        assert (text is None) != (reason is None)
        assert text is None or (text == " ".join(text.split()) and text.isprintable)


def test_many_way_rows_leave_out_empty_and_unusable_cells(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(
        b"\xef\xbb\xbfkey\ten\tde\tfr\r\n"
        b"1\tYes.\tJa.\tOui.\r\n"
        b"2\tNo.\t\tcaf\xe9\r\n"
        b"3\ttoo\tfew\r\n"
    )
    languages, rows = read_many_way(path)
    assert languages == ["en", "de", "fr"]
    assert list(rows) == [{"en": "Yes.", "de": "Ja.", "fr": "Oui."}, {"en": "No."}]
    assert [reason for _, reason in many_way_rows(path)] == [None, None, "field_count"]


def test_a_many_way_file_may_lack_the_key_column(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(b"en\tde\nYes.\tJa.\n")
    languages, rows = read_many_way(path)
    assert (languages, list(rows)) == (["en", "de"], [{"en": "Yes.", "de": "Ja."}])


@pytest.mark.parametrize("header", [b"", b"en", b"key\ten", b"en\ten", b"en\t\tde"])
def test_a_header_without_two_languages_is_refused(tmp_path, header):
    path = tmp_path / "a.tsv"
    path.write_bytes(header + b"\nYes.\tJa.\n")
    with pytest.raises(UserError, match="the header is"):
        read_many_way(path)
