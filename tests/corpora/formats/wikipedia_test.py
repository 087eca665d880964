"""Dumps of pages: what is an article, what is counted, and what is cut off."""

import bz2
import itertools
from collections import Counter

import pytest

from amber_jax.corpora import text
from amber_jax.corpora.conversion import Conversion
from amber_jax.corpora.downloads import WikipediaSource
from amber_jax.corpora.formats import wikipedia
from amber_jax.corpora.plain import plain_rows
from amber_jax.errors import UserError

HEAD = """\
<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="fr">
  <siteinfo>
    <namespaces>
      <namespace key="-2" case="first-letter">Média</namespace>
      <namespace key="0" case="first-letter" />
      <namespace key="6" case="first-letter">Fichier</namespace>
      <namespace key="14" case="first-letter">Catégorie</namespace>
    </namespaces>
  </siteinfo>
"""
END = "</mediawiki>\n"


def page(text, *, ns=0, model="wikitext", redirect=""):
    return (
        f"<page><title>A &amp; B</title><ns>{ns}</ns><id>1</id>{redirect}<revision>"
        f"<id>2</id><model>{model}</model><format>text/x-wiki</format>"
        f'<text xml:space="preserve">{text}</text></revision></page>\n'
    )


ARTICLES = [
    page("'''Un''' &amp;nbsp;et &lt;ref&gt;r&lt;/ref&gt; un.\n\n[[Catégorie:X]]"),
    page("#REDIRECTION [[Un]]", redirect='<redirect title="Un" />'),
    page("Un avis. ~~~~", ns=1),
    page("body { }", model="css"),
    page("* [[Un]]"),
    page("Deux.\n\n[[Fichier:a.jpg|x]]Trois."),
    page(""),
]
ROWS = [("Un et un.",), ("",), ("Deux.",), ("Trois.",), ("",)]
LEFT_OUT = {"redirect": 1, "other_namespace": 1, "other_content": 1}


def rows_of(path, span=None):
    facts = Conversion()
    return list(WikipediaSource("fr", path, span).rows(facts)), facts.left_out


@pytest.mark.parametrize("pack", [bytes, bz2.compress])
def test_articles_become_documents_and_the_rest_is_counted(tmp_path, pack):
    name = "a.xml" + ("" if pack is bytes else ".bz2")
    (tmp_path / name).write_bytes(pack((HEAD + "".join(ARTICLES) + END).encode()))
    rows, left_out = rows_of(tmp_path / name)
    assert rows == ROWS
    assert left_out == LEFT_OUT | {"no_running_text": 2}


def multistream(folder, articles):
    """A dump of two articles a stream, with its index."""
    dump = folder / "frwiki-1-pages-articles-multistream1.xml-p1p9.bz2"
    packed, lines = bz2.compress(HEAD.encode()), []
    for number in range(0, len(articles), 2):
        lines += [f"{len(packed)}:{number}:A & B: C\n" for _ in range(2)]
        packed += bz2.compress("".join(articles[number : number + 2]).encode())
    dump.write_bytes(packed + bz2.compress(END.encode()))
    index = folder / "frwiki-1-pages-articles-multistream-index1.txt-p1p9.bz2"
    index.write_bytes(bz2.compress("".join(lines).encode()))
    return dump, index


def test_a_multistream_dump_is_read_in_parts_that_are_the_whole(tmp_path, monkeypatch):
    dump, index = multistream(tmp_path, ARTICLES * 3)
    whole = WikipediaSource("fr", dump)
    assert whole.files() == (dump, index)
    assert whole.parts() == (WikipediaSource("fr", dump, (0, dump.stat().st_size)),)
    rows, left_out = rows_of(dump)
    monkeypatch.setattr(wikipedia, "PART_BYTES", 400)
    parts = whole.parts()
    assert len(parts) > 3
    of_parts = [rows_of(dump, part.span) for part in parts]
    assert (
        list(itertools.chain(*(of_part for of_part, _ in of_parts))) == rows == ROWS * 3
    )
    assert sum((counts for _, counts in of_parts), Counter()) == left_out


def test_without_its_index_a_dump_is_one_part(tmp_path):
    dump, index = multistream(tmp_path, ARTICLES)
    index.unlink()
    assert WikipediaSource("fr", dump).parts() == (WikipediaSource("fr", dump),)
    assert WikipediaSource("fr", dump).files() == (dump,)


@pytest.mark.parametrize("line", ["99999999:1:A\n", "no index\n"])
def test_an_index_of_another_dump_is_refused(tmp_path, line):
    dump, index = multistream(tmp_path, ARTICLES)
    index.write_bytes(bz2.compress(line.encode()))
    with pytest.raises(UserError, match="is no place in frwiki-1-pages"):
        WikipediaSource("fr", dump).parts()


def test_a_part_that_begins_between_streams_is_an_error_that_names_the_file(tmp_path):
    dump, _ = multistream(tmp_path, ARTICLES)
    with pytest.raises(UserError, match=dump.name):
        rows_of(dump, (333, dump.stat().st_size))


WHOLE = HEAD + "".join(ARTICLES) + END


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (WHOLE[: WHOLE.index("Trois")], "cut off"),
        (WHOLE[: -len(END)], "cut off"),
        (WHOLE.replace("</id>", "<id>", 1), "cut off, or no dump"),
        ("<rss></rss>", "its root element is 'rss'"),
        ("Some text.", "no dump of pages"),
        ("<mediawiki></mediawiki>", "holds no page"),
        (f'<!DOCTYPE x [<!ENTITY a "b">]>{WHOLE}', "declares a document type, 'x'"),
    ],
)
def test_a_dump_cut_in_the_middle_or_none_is_one_sentence(tmp_path, content, words):
    path = tmp_path / "a.xml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=words) as caught:
        plain_rows(WikipediaSource("fr", path), tmp_path / "copy")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("end", [100, -100])
def test_a_truncated_archive_is_one_sentence(tmp_path, end):
    path = tmp_path / "a.xml.bz2"
    path.write_bytes(bz2.compress(WHOLE.encode())[:end])
    with pytest.raises(UserError, match="cannot be read to its end"):
        rows_of(path)


def test_a_page_larger_than_any_of_mediawiki_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(wikipedia, "_MOST_CHARACTERS", 30)
    path = tmp_path / "a.xml"
    path.write_text(HEAD + page("Long. " * 20) + page("Kurz.") + END, encoding="utf-8")
    assert rows_of(path) == ([("Kurz.",), ("",)], {"page_too_large": 1})


def test_a_dump_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "_FREE_EXPANSION_BYTES", 1 << 10)
    monkeypatch.setattr(text, "MAX_EXPANSION", 100)
    path = tmp_path / "a.xml.bz2"
    path.write_bytes(bz2.compress(f"{HEAD}{page(' ' * (1 << 21))}{END}".encode()))
    with pytest.raises(UserError, match="unpacks to more than 100 times"):
        rows_of(path)
