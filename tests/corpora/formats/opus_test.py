"""OPUS' archives: Moses pairs with what lies beside them, alignments, faults."""

import gzip
import zipfile

import pytest

from amber_jax.corpora import text
from amber_jax.corpora.conversion import Conversion
from amber_jax.corpora.downloads import MosesArchiveSource, XcesSource
from amber_jax.errors import UserError

MOSES = {
    "README": "About.",
    "LICENSE": "Free.",
    "MultiUN.en-zh_CN.en": "One.\nTwo\there.\n\nFour.\n",
    "MultiUN.en-zh_CN.zh_CN": "一。\r\n二。\n三。\n四。",
    "MultiUN.en-zh_CN.xml": "<cesAlign/>",
}


def pack(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def rows_of(source):
    facts = Conversion()
    return list(source.rows(facts)), facts


def moses(path, members=MOSES):
    return MosesArchiveSource("en", "zh_CN", pack(path, members))


def test_a_moses_archive_gives_its_pairs_and_lists_the_rest(tmp_path):
    rows, facts = rows_of(moses(tmp_path / "en-zh_CN.txt.zip"))
    assert rows == [
        ("One.", "一。"),
        ("Two here.", "二。"),
        ("", "三。"),
        ("Four.", "四。"),
    ]
    assert facts.left_files == ["README", "LICENSE", "MultiUN.en-zh_CN.xml"]


def test_lines_that_are_no_text_are_counted(tmp_path):
    members = {"a.en": b"\xff\nYes.\n", "a.zh_CN": b"x\ny\n"}
    rows, facts = rows_of(moses(tmp_path / "a.zip", members))
    assert (rows, facts.left_out) == ([("Yes.", "y")], {"not_utf8": 1})


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"a.en": "1\n2\n", "a.zh_CN": "1\n"}, "a.en has 2 lines but a.zh_CN has 1"),
        ({"a.en": "1\n", "b.zh_CN": "1\n"}, "names that end in .en and .zh_CN"),
        ({}, "holds nothing"),
        ({**MOSES, "../../x.en": "1"}, "'../../x.en' leads out of the archive"),
        ({**MOSES, "/etc/x": "1"}, "leads out of the archive"),
        ({**MOSES, "a\\..\\..\\x": "1"}, "leads out of the archive"),
    ],
)
def test_an_archive_that_is_not_what_it_should_be_is_one_sentence(
    tmp_path, members, words
):
    with pytest.raises(UserError, match=words.replace("\\", "")) as caught:
        rows_of(moses(tmp_path / "a.zip", members))
    assert str(tmp_path / "a.zip") in str(caught.value)


def test_an_archive_that_is_cut_off_or_damaged_is_one_sentence(tmp_path):
    path = tmp_path / "a.zip"
    source = moses(path, {"a.en": "One.\n" * 999, "a.zh_CN": "一。\n" * 999})
    whole = path.read_bytes()
    for content in (whole[:90], whole[:40] + bytes(20) + whole[60:]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read to its end"):
            rows_of(source)


def test_a_member_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "_FREE_EXPANSION_BYTES", 1 << 10)
    monkeypatch.setattr(text, "MAX_EXPANSION", 100)
    bomb = {"a.en": bytes(1 << 21), "a.zh_CN": bytes(1 << 21)}
    with pytest.raises(UserError, match=r"a\.zip, a\.en: unpacks to more than 100"):
        rows_of(moses(tmp_path / "a.zip", bomb))


ALIGNMENT = """\
<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE cesAlign PUBLIC "-//CES//DTD XML cesAlign//EN" "">
<cesAlign version="1.0">
<linkGrp targType="s" fromDoc="en/1.xml.gz" toDoc="fr/1.xml.gz">
<link certainty="0.9" xtargets="1;1" id="SL1" />
<link xtargets="2 3;2" />
<link xtargets=";3" />
</linkGrp>
<linkGrp fromDoc="en/gone.xml.gz" toDoc="fr/1.xml.gz"><link xtargets="1;1" /></linkGrp>
<linkGrp fromDoc="en/bad.xml.gz" toDoc="fr/1.xml.gz">
<link xtargets="1;1" /><link xtargets="2;2" />
</linkGrp>
</cesAlign>
"""
ENGLISH = {
    "Books/raw/en/1.xml": (
        '<text><s id="1">One &amp; all.</s><p><s id="2">Two<time id="T1"/>.</s>'
        '<s id="3"><w id="3.1">Three</w>\n<w id="3.2">.</w></s></p></text>'
    ),
    "Books/raw/en/bad.xml": "<text><s id='1'>One.</text>",
}
FRENCH = {
    "fr/1.xml": '<t><s id="1">Un.</s><s id="2">Deux.</s><s id="3">3</s></t>',
}
LINKED = [("One & all.", "Un."), ("Two. Three .", "Deux."), ("", "3")]


@pytest.fixture
def xces(tmp_path):
    path = tmp_path / "en-fr.xml.gz"
    path.write_bytes(gzip.compress(ALIGNMENT.encode()))
    documents = {"en": ENGLISH, "fr": FRENCH}
    return path, {
        code: pack(tmp_path / f"{code}.zip", documents[code]) for code in documents
    }


@pytest.mark.parametrize("src", ["en", "fr"])
def test_an_alignment_joins_the_sentences_of_its_documents(xces, src):
    path, archives = xces
    tgt = {"en": "fr", "fr": "en"}[src]
    source = XcesSource(src, tgt, path, archives[src], archives[tgt])
    assert source.files() == (path, archives[src], archives[tgt])
    rows, facts = rows_of(source)
    assert rows == (LINKED if src == "en" else [(fr, en) for en, fr in LINKED])
    assert facts.left_out == {"no_document": 1, "not_xml": 2}


@pytest.mark.parametrize(
    "content",
    [
        ALIGNMENT[:400],
        "no XML",
        ALIGNMENT.replace('"">', '"" [<!ENTITY a "b">]>', 1),
    ],
)
def test_an_alignment_that_is_cut_off_or_declares_entities_is_refused(xces, content):
    path, archives = xces
    path.write_bytes(gzip.compress(content.encode()))
    with pytest.raises(UserError, match="no usable alignment"):
        rows_of(XcesSource("en", "fr", path, archives["en"], archives["fr"]))
