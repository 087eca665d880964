"""Wikimedia's dumps of pages (`pages-articles.xml`), streamed.

    frwiki-20240101-pages-articles.xml.bz2
    enwiki-20240101-pages-articles1.xml-p1p41242.bz2
    dewiki-20240101-pages-articles-multistream.xml.bz2, ...-multistream-index.txt.bz2

A multistream dump with its index beside it is read in parts: its streams can be
unpacked one by one.

Source: MediaWiki's export schema 0.11; Data dumps/Dump format (multistream).
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from amber_jax.corpora.conversion import Conversion, Row
from amber_jax.corpora.formats.wikitext import HIDDEN, paragraphs
from amber_jax.corpora.text import read_chunks, read_lines
from amber_jax.errors import UserError

Span = tuple[int, int]  # begin and end of compressed bytes

PART_BYTES = 64 << 20  # compressed, of what one worker reads

_MOST_CHARACTERS = 2 << 20  # of a page; Source: MediaWiki's $wgMaxArticleSize, in bytes
_HIDDEN_NAMESPACES = frozenset({"-2", "6", "14"})  # media, file, category
_ARTICLES = "0"  # the namespace
_READ = frozenset({"namespace", "ns", "model", "text"})  # elements
_MULTISTREAM = re.compile(r"(.*-multistream)(\d*)\.xml(-p\d+p\d+)?\.bz2")


@dataclass(frozen=True)
class Site:
    """What a dump says of its wiki."""

    language: str
    hidden: frozenset[str]  # names of namespaces, see `wikitext.paragraphs`


def read_site(path: Path) -> Site:
    """Returns what the beginning of a dump says.

    Raises:
        UserError: it is no dump, or cannot be read.
    """
    reader = _Reader(Conversion())
    with _xml_errors(path):
        for chunk in read_chunks(path):
            reader.feed(chunk)
            if reader.is_told:
                return Site(reader.language, frozenset(reader.hidden))
    raise UserError(f"{path}: holds no page; wanted a dump of a Wikimedia wiki")


def read_dump(path: Path, facts: Conversion, span: Span | None = None) -> Iterator[Row]:
    """Yields the paragraphs of each article, and an empty row at its end.

    Args:
        path: plain or compressed.
        facts: counts pages that are no article, or hold no running text.
        span: one of `dump_spans`; None: the whole dump.

    Raises:
        UserError: it is no dump, or is cut off.
    """
    hidden = HIDDEN | read_site(path).hidden
    size = path.stat().st_size
    begin, end = span or (0, size)
    reader = _Reader(facts)
    with _xml_errors(path):
        if begin:
            reader.feed(b"<mediawiki>")
        for chunk in read_chunks(path, span):
            reader.feed(chunk)
            for text in reader.take():
                yield from _article(text, hidden, facts)
        reader.close(b"</mediawiki>" if end < size else b"")
    for text in reader.take():
        yield from _article(text, hidden, facts)


def index_path(path: Path) -> Path | None:
    """Returns the index beside a multistream dump, if it is there."""
    if name := _MULTISTREAM.fullmatch(path.name):
        index = path.with_name(f"{name[1]}-index{name[2]}.txt{name[3] or ''}.bz2")
        return index if index.is_file() else None
    return None


def dump_spans(path: Path) -> list[Span | None]:
    """Returns the parts of a dump that can be read on their own; [None] if it is one.

    Raises:
        UserError: the index beside it is none, or that of another dump.

    Source: each line of an index is `offset:page:title`, a stream has 100 pages.
    """
    if (index := index_path(path)) is None:
        return [None]
    size, bounds = path.stat().st_size, [0]
    for line in read_lines(index):
        offset = line.partition(b":")[0]
        if not offset.isdigit() or int(offset) >= size:
            raise UserError(
                f"{index}: {line[:40]!r} is no place in {path.name}; "
                "download both files again, or remove the index"
            )
        if int(offset) - bounds[-1] >= PART_BYTES:
            bounds.append(int(offset))
    return list(zip(bounds, (*bounds[1:], size), strict=True))


def _article(text: str, hidden: frozenset[str], facts: Conversion) -> Iterator[Row]:
    lines = paragraphs(text, hidden)
    if not lines:
        facts.left_out["no_running_text"] += 1
        return
    yield from ((paragraph,) for paragraph in lines)
    yield ("",)


class _RefusedError(Exception):
    """What is wrong with a file as a whole, though expat might read it."""


@contextlib.contextmanager
def _xml_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (expat.ExpatError, _RefusedError) as error:
        raise UserError(
            f"{path}: cut off, or no dump of pages ({error}); download it again"
        ) from error


class _Reader:
    """The articles finished so far and the page being read."""

    def __init__(self, facts: Conversion):
        self.language = ""
        self.hidden: list[str] = []
        self.is_told = False  # whether it has said of its wiki what it says
        self._facts = facts
        self._finished: list[str] = []
        self._page: dict[str, str] = {}  # elements of the current page
        self._reason = ""  # why it is no article
        self._hides = False  # the namespace being read
        self._root = ""
        self._pieces: list[str] = []
        self._size = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.buffer_size = 1 << 16
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def feed(self, data: bytes) -> None:
        self._parser.Parse(data, False)

    def close(self, data: bytes) -> None:
        self._parser.Parse(data, True)

    def take(self) -> list[str]:
        finished, self._finished = self._finished, []
        return finished

    def _doctype(self, name: str, *_: object) -> None:
        raise _RefusedError(f"it declares a document type, {name!r}")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._root:
            self._root = name
            if name != "mediawiki":
                raise _RefusedError(f"its root element is {name!r}")
            self.language = attributes.get("xml:lang", "")
        elif name == "page":
            self._page, self._reason, self.is_told = {}, "", True
        elif name == "redirect":
            self._reason = self._reason or "redirect"
        elif name in _READ and not self._reason:
            self._hides = attributes.get("key") in _HIDDEN_NAMESPACES
            self._pieces, self._size = [], 0
            self._parser.CharacterDataHandler = self._characters

    def _end(self, name: str) -> None:
        if name in _READ and self._parser.CharacterDataHandler:
            self._parser.CharacterDataHandler = None
            self._element(name, "".join(self._pieces))
        elif name == "siteinfo":
            self.is_told = True
        elif name == "page" and self._reason:
            self._facts.left_out[self._reason] += 1
        elif name == "page":
            self._finished.append(self._page.get("text", ""))

    def _element(self, name: str, content: str) -> None:
        if name == "namespace" and self._hides:
            self.hidden.append(content.lower())
        elif name == "ns" and content != _ARTICLES:
            self._reason = "other_namespace"
        elif name == "model" and content != "wikitext":
            self._reason = "other_content"
        elif self._size > _MOST_CHARACTERS:
            self._reason = "page_too_large"
        self._page[name] = content

    def _characters(self, data: str) -> None:
        self._size += len(data)
        if self._size <= _MOST_CHARACTERS:
            self._pieces.append(data)
