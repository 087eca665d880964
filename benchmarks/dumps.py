"""A dump of articles in Wikimedia's format, made of the paragraphs of text files.

Beside the dump there is the text that its readers would see, so that what is taken out
of it can be judged. Pages have about as much markup as Wikipedia's: an infobox, links,
references, a table, images, categories, a formula, a list; every eighth is a redirect
or a talk page.
"""

import bz2
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from amber_jax.corpora.text import clean_line, read_lines

_STREAM_PAGES = 100
_LINE_BYTES = 1 << 16
_HEAD = """\
<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="{}">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <base>https://example.org/wiki/Main_Page</base>
    <namespaces>
      <namespace key="-2" case="first-letter">Media</namespace>
      <namespace key="0" case="first-letter" />
      <namespace key="1" case="first-letter">Talk</namespace>
      <namespace key="6" case="first-letter">File</namespace>
      <namespace key="10" case="first-letter">Template</namespace>
      <namespace key="14" case="first-letter">Category</namespace>
    </namespaces>
  </siteinfo>
"""
_PAGE = """\
  <page>
    <title>{title}</title>
    <ns>{ns}</ns>
    <id>{id}</id>
{redirect}    <revision>
      <id>{id}</id>
      <timestamp>2024-01-01T00:00:00Z</timestamp>
      <contributor>
        <username>A</username>
        <id>1</id>
      </contributor>
      <model>wikitext</model>
      <format>text/x-wiki</format>
      <text bytes="{bytes}" xml:space="preserve">{text}</text>
      <sha1>0</sha1>
    </revision>
  </page>
"""
_INFOBOX = """\
{{{{Infobox place
| name = {title}
| image = {title}.jpg
| population = {{{{formatnum:{number}}}}} <ref>{{{{cite web|url=http://x.org/{number}\
|title=Census}}}}</ref>
| area = {{{{convert|{number}|km2|abbr=on}}}}
}}}}
"""
_TABLE = """\
{{| class="wikitable sortable"
! Year !! Number
|-
| 1990 || {number} <ref name="a" />
|-
| 2000 || style="text-align:right" | [[{word}]]
|}}
"""
_REFERENCE = (
    "<ref>{{{{cite book |last={word} |first=A. |title={word} {word} |year=1999 "
    "|isbn=0-00-{number}}}}}</ref>"
)
_END = """\

== See also ==
* [[{word}]]
* [http://example.org/{number} {word}]

== References ==
{{{{reflist|30em}}}}

{{{{DEFAULTSORT:{word}}}}}
[[Category:{word}]]
[[Category:{number} births]]
"""


def write_dump(
    files: Sequence[Path], dump: Path, *, megabytes: int, language: str
) -> None:
    """Writes a multistream dump with its index, and its text as JSON lines beside it.

    Args:
        files: paragraphs, one a line; repeated as often as wanted.
        dump: named `...-multistream.xml.bz2`.
        megabytes: of XML, before it is compressed.
        language: of the wiki.
    """
    draw = random.Random(0)
    lines = [line for path in files for line in read_lines(path)]
    cleaned = [clean_line(line, max_bytes=_LINE_BYTES)[0] for line in lines]
    pages = _pages([text for text in cleaned if text], draw)
    index = dump.with_name(dump.name.replace(".xml.bz2", "-index.txt.bz2"))
    with (
        dump.open("wb") as packed,
        bz2.open(index, "wt", encoding="utf-8") as offsets,
        dump.with_suffix(".jsonl").open("w", encoding="utf-8") as seen,
    ):
        packed.write(bz2.compress(_HEAD.format(language).encode()))
        written = 0
        while written < megabytes << 20:
            stream = list(itertools.islice(pages, _STREAM_PAGES))
            begin = packed.tell()
            for number, (title, _, text) in enumerate(stream):
                offsets.write(f"{begin}:{number}:{title}\n")
                if text:
                    seen.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            xml = "".join(page for _, page, _ in stream).encode()
            written += len(xml)
            packed.write(bz2.compress(xml))
        packed.write(bz2.compress(b"</mediawiki>\n"))


def _pages(
    paragraphs: Sequence[str], draw: random.Random
) -> Iterator[tuple[str, str, str]]:
    """Yields title, XML and visible text of pages without end."""
    texts = itertools.cycle(paragraphs)
    for number in itertools.count(1):
        title, namespace, redirect, seen = f"Page {number}", 0, "", []
        if number % 16 == 0:
            wikitext = "#REDIRECT [[Page 1]]"
            redirect = '    <redirect title="Page 1" />\n'
        elif number % 16 == 8:
            wikitext, namespace = f": {next(texts)} ~~~~", 1
        else:
            seen = [next(texts) for _ in range(draw.randint(2, 12))]
            wikitext = _marked_up(title, seen, draw)
        page = _PAGE.format(
            title=title,
            ns=namespace,
            id=number,
            redirect=redirect,
            bytes=len(wikitext.encode()),
            text=escape(wikitext, {'"': "&quot;"}),
        )
        yield title, page, "\n".join(seen)


def _marked_up(title: str, paragraphs: Sequence[str], draw: random.Random) -> str:
    fields = {"title": title, "number": draw.randint(1000, 99999), "word": "Word"}
    parts = [_INFOBOX.format(**fields)]
    for number, paragraph in enumerate(paragraphs):
        if number % 3 == 2:
            parts.append(f"== {title} {number} ==\n")
        if number % 4 == 1:
            parts.append("[[File:A.jpg|thumb|left|A [[picture]] of ''it''.]]\n")
        if number % 6 == 3:
            parts.append(_TABLE.format(**fields))
        parts.append(f"{_linked(paragraph, draw, fields)}\n\n")
    return "".join(parts) + _END.format(**fields)


def _linked(paragraph: str, draw: random.Random, fields: dict[str, object]) -> str:
    """Returns a paragraph with links, bold words, references and a comment."""
    words = paragraph.split(" ")
    for place, word in enumerate(words):
        chance = draw.random()
        if not word.isalnum():
            continue
        if chance < 0.06:
            words[place] = f"[[{word}]]"
        elif chance < 0.1:
            words[place] = f"[[Something else|{word}]]"
        elif chance < 0.11:
            words[place] = f"'''{word}'''"
        elif chance < 0.12:
            words[place] = f"''{word}''"
    for _ in range(draw.randint(0, 3)):
        words[-1] += _REFERENCE.format(**fields)
    return " ".join(words) + draw.choice(("", "", "", "<!-- to be checked -->"))
