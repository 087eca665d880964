"""Files that are no lines of text are told from those that are."""

import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile

import pytest

from amber_jax.corpora.content import other_content
from amber_jax.corpora.filters import held_out_sentences
from amber_jax.corpora.plain import plain_file
from amber_jax.corpora.text import many_way_columns, read_lines
from amber_jax.errors import UserError

TEXT = "The gate is open.\nLa porte est ouverte.\n"


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", TEXT)
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return file.getvalue()


def database():
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table t (a)")
        return connection.serialize()


OTHER = {
    "a Wikipedia dump": b'<mediawiki xmlns="x" version="0.11">\n  <siteinfo>',
    "Wikipedia": b'\n<?xml version="1.0"?>\n<mediawiki>',
    "JSON": b'{"id": 1, "text": "One."}\n{"id": 2, "text": "Two."}\n',
    "JSON ": b'\xef\xbb\xbf[\n  {\n    "text": "One."\n  }\n]\n',
    "Parquet": b"PAR1\x15\x04\x15\x10",
    "gzip": gzip.compress(TEXT.encode()),
    "bzip2": bz2.compress(TEXT.encode()),
    "xz": lzma.compress(TEXT.encode()),
    "zip": zipped(),
    "tar": tarred(),
    "SQLite": database(),
    "PDF": b"%PDF-1.7\n",
    "HTML": b"<!DOCTYPE html>\n<html>",
    "TMX": b'<?xml version="1.0"?>\n<tmx version="1.4">',
    "XML": b'<?xml version="1.0"?>\n<corpus>',
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16 ": TEXT.encode("utf-16-be"),
    "UTF-32": TEXT.encode("utf-32"),
}


@pytest.mark.parametrize("kind", OTHER)
def test_every_reader_of_lines_refuses_other_content_by_its_kind(tmp_path, kind):
    path = tmp_path / "fr.txt"
    path.write_bytes(OTHER[kind])
    for read in (
        lambda: list(read_lines(path)),
        lambda: plain_file(path, tmp_path / "unused"),
        lambda: held_out_sentences([path]),
        lambda: many_way_columns(path),
    ):
        with pytest.raises(UserError) as caught:
            read()
        assert str(path) in str(caught.value)
        assert kind.strip() in str(caught.value)


def test_what_a_packed_file_holds_is_looked_at(tmp_path):
    path = tmp_path / "fr.txt.gz"
    path.write_bytes(gzip.compress(gzip.compress(TEXT.encode())))
    with pytest.raises(UserError, match="looks like gzip"):
        plain_file(path, tmp_path / "copy")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n\n",
        TEXT.encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        b"[1] See the notes.\n",
        b"{braces} are rare.\n",
        b'"Quoted," he said.\n',
        b"<b>Bold</b> words and 3 < 4.\n",
        b"PARIS\n",
        b"BZhang\n",
        b"PK is a short name.\n",
        b"key\ten\tfr\n",
        b"a\0b\n",
        bytes(4096),
        "\u5927\u9580".encode(),
        b"caf\xe9\n",
    ],
)
def test_lines_of_text_are_taken_for_text(head):
    assert other_content(head) is None
