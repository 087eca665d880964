"""Translation memories (TMX) as sentence pairs, streaming and safe to parse.

Nothing outside the file is ever fetched, a file that declares entities is refused,
and one segment cannot take more memory than one line of text. A unit that is no XML
is left out and counted; reading goes on behind it.
"""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from amber_jax.corpora.content import other_content
from amber_jax.corpora.conversion import Conversion
from amber_jax.corpora.text import LINE_CAP_BYTES, clean_text, read_chunks
from amber_jax.errors import UserError

_CODES = frozenset({"bpt", "ept", "ph", "it", "ut"})  # native markup, not text
_BREAK_TYPES = frozenset({"lb", "pb", "cb"})  # line, page and column break
_BREAK = re.compile(  # of HTML and office formats; of RTF and escaped strings
    r"</?\s*(w:|text:)?(br|p|div|li|td|th|tr|hr|lb|h[1-6]|line-break|tab)\b"
    r"|\\(n|r|t|line|par|page|tab)\b",
    re.IGNORECASE,
)
_MOST_LANGUAGES, _CODE_LENGTH = 100, 40  # of a file's codes are remembered

_BYTE_ORDERS = (  # UTF-32's begin as UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_WIDE = ("utf-16", "utf-32")
_DECLARATION = re.compile(r"\s*<\?xml\s[^>]*\?>")
_ENCODING = re.compile(
    rb"\s*<\?xml\s[^>]*?\bencoding\s*=\s*[\"']([A-Za-z][\w.-]*)[\"']"
)
_UNIT_END = re.compile(rb"</tu\s*>")
_UNIT_END_BYTES = 64  # a tag that two pieces share is found within these
_PIECE_BYTES = 1 << 16  # given to expat at once, and kept in case an error lies in them

# Bytes that are no text become a character that is no XML, which costs their unit.
_NO_XML = "amber_jax.no_xml"
codecs.register_error(_NO_XML, lambda error: ("\ufffe", error.end))


def read_tmx(
    path: Path, src_lang: str, tgt_lang: str, facts: Conversion | None = None
) -> Iterator[tuple[str, str]]:
    """Yields (source, target) of every translation unit; "" where a side is missing.

    `en` matches the variants `en`, `EN-us` and `en_GB`. A variant of exactly the code
    counts before others, and of several the first. Inline codes are left out; those
    that stand for a break, and entities that XML does not know, become spaces.

    Args:
        path: plain, .gz, .bz2, .xz or .zst, in any encoding that Python knows.
        src_lang: language code of the source side.
        tgt_lang: language code of the target side.
        facts: counts what is no pair while pairs are read.

    Raises:
        UserError: no well-formed XML outside of the units, entities declared, an
            unknown encoding, or as `text.read_chunks`.

    Source: TMX 1.4b specification (tu, tuv, seg and the inline elements).
    """
    reader = _Reader((src_lang, tgt_lang), facts or Conversion())
    try:
        parser = _Parser(reader)
        for piece in _utf8(path):
            parser.feed(piece)
            yield from reader.take()
        parser.close()
        yield from reader.take()
        reader.check_root()
    except (expat.ExpatError, _RefusedError) as error:
        raise UserError(f"{path}: no usable TMX ({error}); repair the file") from error


class _RefusedError(Exception):
    """What is wrong with a file as a whole, though expat might read it."""


def _utf8(path: Path) -> Iterator[bytes]:
    """Yields the text of a file in UTF-8, without its XML declaration."""
    chunks = read_chunks(path)
    head = next(chunks, b"")
    encoding = _encoding(head)
    kind = other_content(head)
    if kind not in (None, "TMX", "XML") and not encoding.startswith(_WIDE):
        raise _RefusedError(f"it looks like {kind}")
    decoder = codecs.getincrementaldecoder(encoding)(errors=_NO_XML)
    text = decoder.decode(head).removeprefix("\ufeff")
    declaration = _DECLARATION.match(text)
    yield _encoded(text[declaration.end() if declaration else 0 :].lstrip())
    for chunk in chunks:
        yield _encoded(decoder.decode(chunk))
    yield _encoded(decoder.decode(b"", True))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # expat refuses surrogates


def _encoding(head: bytes) -> str:
    """Returns the encoding that the first bytes of a file show or declare.

    Source: XML 1.0, appendix F (detection without external information).
    """
    for start, name in _BYTE_ORDERS:
        if head.startswith(start):
            return name
    declared = _ENCODING.match(head)
    name = declared[1].decode() if declared else "utf-8"
    try:
        b"<".decode(name, "replace")
    except (LookupError, UnicodeError) as error:
        raise _RefusedError(f"it declares the unknown encoding {name!r}") from error
    return name


class _Parser:
    """expat that goes on behind a unit that is no XML."""

    def __init__(self, reader: "_Reader"):
        self._reader = reader
        self._skipping = False  # to the end of such a unit
        self._tail = b""  # of what was skipped last
        self._begin(())

    def feed(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE_BYTES):
            self._feed(data[start : start + _PIECE_BYTES])

    def close(self) -> None:
        while True:
            if self._skipping:
                raise _RefusedError("its last unit has no end")
            try:
                self._expat.Parse(b"", True)
                return
            except expat.ExpatError as error:
                self._feed(self._from(error))

    def _begin(self, ancestors: tuple[str, ...]) -> None:
        """Makes a parser that stands within elements of these names."""
        prefix = "".join(f"<{name}>" for name in ancestors).encode()
        self._expat = self._reader.parser()
        self._expat.Parse(prefix, False)
        self._given = len(prefix)  # bytes
        self._recent = b""  # the last ones of them

    def _feed(self, data: bytes) -> None:
        while data:
            data = self._skip(data) if self._skipping else self._parse(data)

    def _parse(self, data: bytes) -> bytes:
        """Returns what is to be read again: what follows an error within a unit."""
        self._recent = self._recent[-_PIECE_BYTES:] + data
        self._given += len(data)
        try:
            self._expat.Parse(data, False)
        except expat.ExpatError as error:
            return self._from(error)
        return b""

    def _from(self, error: expat.ExpatError) -> bytes:
        if not self._reader.in_unit:
            raise error
        self._skipping = True
        start = self._expat.ErrorByteIndex - (self._given - len(self._recent))
        return self._recent[max(0, start) :]

    def _skip(self, data: bytes) -> bytes:
        """Returns what stands behind the end of the unit, if that has come."""
        data = self._tail + data
        end = _UNIT_END.search(data)
        if not end:
            self._tail = data[-_UNIT_END_BYTES:]
            return b""
        self._skipping, self._tail = False, b""
        self._begin(self._reader.leave_unit())
        return data[end.end() :]


class _Code:
    """An inline element of native markup that is being read."""

    def __init__(self, kind: str):
        self._is_break = kind.lower() in _BREAK_TYPES
        self._markup: list[str] = []
        self._size = 0

    def add(self, data: str) -> None:
        if self._size <= LINE_CAP_BYTES:
            self._markup.append(data)
            self._size += len(data)

    def is_break(self) -> bool:
        return self._is_break or bool(_BREAK.search("".join(self._markup)))


class _Reader:
    """The pairs finished so far and the segment being read."""

    def __init__(self, languages: tuple[str, str], facts: Conversion):
        self._sought = languages
        self._languages = {_normal(language): language for language in languages}
        self._facts = facts
        self._root: str | None = None
        self._units = 0
        self._open: list[str] = []  # elements, outermost first
        self._finished: list[tuple[str, str]] = []
        self._sides: dict[str, str] = {}  # of the current unit
        self._exact: set[str] = set()  # those of its sides whose code was given as is
        self._code = ""  # of the current variant
        self._language: str | None = None  # the one of ours that it matches
        self._segment: list[str] | None = None
        self._size = 0
        self._inline: list[_Code | None] = []  # open codes; None: a sub-flow of text

    @property
    def in_unit(self) -> bool:
        return "tu" in self._open

    def parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate("utf-8", namespace_separator=None)
        parser.buffer_text = True
        parser.UseForeignDTD(True)  # an entity that nobody declared is no error then
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text
        parser.EntityDeclHandler = self.entity
        parser.SkippedEntityHandler = self.unknown_entity
        return parser

    def take(self) -> list[tuple[str, str]]:
        finished, self._finished = self._finished, []
        return finished

    def leave_unit(self) -> tuple[str, ...]:
        """Counts the current unit as no XML; returns the elements that it stands in."""
        ancestors = tuple(self._open[: self._open.index("tu")])
        self._open, self._segment = [], None
        self._facts.left_out["not_xml"] += 1
        return ancestors

    def check_root(self) -> None:
        if not self._units and self._root.lower() != "tmx":
            raise _RefusedError(f"its root element is {self._root!r}")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._root = self._root or name
        self._open.append(name)
        if name == "tu":
            self._units += 1
            self._sides, self._exact = {}, set()
        elif name == "tuv":
            code = attributes.get("xml:lang", attributes.get("lang", ""))
            self._code, self._language = _normal(code), self._matching(_normal(code))
            if len(self._facts.languages) < _MOST_LANGUAGES:
                self._facts.languages.add(code[:_CODE_LENGTH])
        elif name == "seg" and self._is_wanted():
            self._segment, self._size, self._inline = [], 0, []
        elif self._segment is not None and name in _CODES:
            self._inline.append(_Code(attributes.get("type", "")))
        elif self._inline and name == "sub":
            self._inline.append(None)
            self.text(" ")

    def end(self, name: str) -> None:
        self._open.pop()
        if name == "tu":
            src, tgt = (self._sides.get(language, "") for language in self._sought)
            self._finished.append((src, tgt))
        elif self._segment is None:
            return
        elif name == "seg":
            # Line breaks inside a segment are layout, so a pair stays one line.
            self._sides[self._language] = clean_text("".join(self._segment))
            if self._code in self._languages:
                self._exact.add(self._language)
            self._segment, self._inline = None, []
        elif name in _CODES and self._inline.pop().is_break():
            self.text(" ")
        elif name == "sub" and self._inline and self._inline[-1] is None:
            self.text(" ")
            self._inline.pop()

    def text(self, data: str) -> None:
        if self._segment is None:
            return
        if self._inline and self._inline[-1] is not None:
            self._inline[-1].add(data)
        elif self._size <= LINE_CAP_BYTES:
            self._segment.append(data)
            self._size += len(data)

    def entity(self, name: str, *_: object) -> None:
        raise _RefusedError(f"it declares the entity {name!r}")

    def unknown_entity(self, name: str, is_parameter: bool) -> None:
        del name, is_parameter
        if self._segment is not None:
            self._facts.unknown_entities += 1
            self.text(" ")

    def _is_wanted(self) -> bool:
        if self._language is None or self._segment is not None:
            return False
        if self._language not in self._sides:
            return True
        return self._code in self._languages and self._language not in self._exact

    def _matching(self, code: str) -> str | None:
        """Returns the language with the longest code that `code` is or begins with."""
        matching = [
            ours
            for ours in self._languages
            if code == ours or code.startswith(ours + "-")
        ]
        return self._languages[max(matching, key=len)] if matching else None


def _normal(code: str) -> str:
    return code.lower().replace("_", "-")
