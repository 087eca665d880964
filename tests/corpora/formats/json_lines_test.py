"""JSON lines: any field, Wikimedia's two kinds, and lines that are none."""

import gzip
import io
import json
import tarfile

import pytest

from amber_jax.corpora import text
from amber_jax.corpora.conversion import Conversion
from amber_jax.corpora.downloads import (
    RecordPairSource,
    RecordSource,
    WikimediaJsonSource,
)
from amber_jax.corpora.formats import json_lines
from amber_jax.errors import UserError


def lines_of(*records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def rows_of(source):
    facts = Conversion()
    return list(source.rows(facts)), facts.left_out


EXTRACTED = (  # as WikiExtractor writes them
    {"id": "1", "url": "u", "title": "A", "text": "One\tline.\n\nAnother."},
    {"id": "2", "url": "u", "title": "B", "text": ""},
    {"id": "3", "url": "u", "title": "C", "text": "Third."},
)


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_a_document_has_lines_and_an_end(tmp_path, suffix):
    path = tmp_path / f"fr.{suffix}"
    content = lines_of(*EXTRACTED)
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    rows, left_out = rows_of(RecordSource("fr", path))
    assert rows == [("One line.",), ("Another.",), ("",), ("Third.",), ("",)]
    assert left_out == {"no_text": 1}


def test_any_field_is_a_text_and_what_is_no_record_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "RECORD_CAP_BYTES", 4000)
    path = tmp_path / "a.jsonl"
    records = ({"doc": {"body": "Yes."}}, {"doc": "no"}, {"text": "No."}, [1], 5)
    deep = b"[" * 1500 + b"]" * 1500 + b"\n"
    long = json.dumps({"doc": {"body": "x" * 5000}}).encode()
    path.write_bytes(lines_of(*records) + b"no json\n\xff\n\n" + deep + long)
    rows, left_out = rows_of(RecordSource("en", path, "doc.body"))
    assert rows == [("Yes.",), ("",)]
    assert left_out == {"no_text": 2, "not_json": 5, "too_long": 1}


def test_pairs_stand_in_translation_or_in_the_record(tmp_path):
    path = tmp_path / "en-fr.jsonl"
    path.write_bytes(
        lines_of(
            {"id": 1, "translation": {"en": "Yes.", "fr": "Oui."}},
            {"fr": "Non.\n", "en": "No."},
            {"en": "Alone.", "fr": None},
        )
    )
    rows, left_out = rows_of(RecordPairSource("en", "fr", path))
    assert rows == [("Yes.", "Oui."), ("No.", "Non."), ("Alone.", "")]
    assert not left_out


PAGES = (
    {"index": {"_type": "_doc", "_id": "1"}},
    {"namespace": 0, "title": "A", "text": "Shown.", "source_text": "'''Shown'''."},
    {"index": {"_type": "_doc", "_id": "2"}},
    {"namespace": 100, "title": "B", "text": "A portal."},
    {"index": {"_type": "_doc", "_id": "3"}},
    {"namespace": 0, "title": "C", "text": "Only text."},
)


def test_a_search_index_gives_its_articles(tmp_path):
    path = tmp_path / "frwiki-20240101-cirrussearch-content.json.gz"
    path.write_bytes(gzip.compress(lines_of(*PAGES)))
    rows, left_out = rows_of(WikimediaJsonSource("fr", path))
    assert rows == [("Shown.",), ("",), ("Only text.",), ("",)]
    assert left_out == {"other_namespace": 1}


def enterprise(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_an_enterprise_archive_gives_its_articles(tmp_path):
    path = tmp_path / "frwiki-NS0-20240101-ENTERPRISE-HTML.json.tar.gz"
    record = {
        "name": "Un",
        "namespace": {"identifier": 0},
        "categories": [{"name": "Catégorie:X"}],
        "article_body": {"html": "<p>", "wikitext": "Un [[Catégorie:X]][[mot]]."},
    }
    other = record | {"namespace": {"identifier": 14}}
    enterprise(path, {"a.ndjson": lines_of(record, other), "b": lines_of(record)})
    rows, left_out = rows_of(WikimediaJsonSource("fr", path))
    assert rows == [("Un mot.",), ("",)] * 2
    assert left_out == {"other_namespace": 1}


def test_an_archive_that_is_cut_off_is_one_sentence(tmp_path):
    path = tmp_path / "a-ENTERPRISE-HTML.json.tar.gz"
    enterprise(path, {"a": lines_of(*PAGES) * 50})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="cannot be read to its end"):
        rows_of(WikimediaJsonSource("fr", path))


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "_FREE_EXPANSION_BYTES", 1 << 10)
    monkeypatch.setattr(text, "MAX_EXPANSION", 100)
    path = tmp_path / "a-ENTERPRISE-HTML.json.tar.gz"
    enterprise(path, {"a": bytes(1 << 21)})
    with pytest.raises(UserError, match="a: unpacks to more than 100 times"):
        rows_of(WikimediaJsonSource("fr", path))
