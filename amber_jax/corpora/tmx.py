"""Translation memories (TMX) as sentence pairs, streaming and safe to parse.

Nothing outside the file is ever fetched, a file that declares entities is refused,
and one segment cannot take more memory than one line of text.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from amber_jax.corpora.text import LINE_CAP_BYTES, clean_text, read_chunks
from amber_jax.errors import UserError

_CODES = frozenset({"bpt", "ept", "ph", "it", "ut"})  # native markup, not text


def read_tmx(path: Path, src_lang: str, tgt_lang: str) -> Iterator[tuple[str, str]]:
    """Yields (source, target) of every translation unit; "" where a side is missing.

    `en` matches the variants `en`, `EN-us` and `en_GB`; the first one counts.

    Raises:
        UserError: no well-formed XML, entities declared, or as `read_lines`.

    Source: TMX 1.4b specification (tu, tuv, seg and the inline elements).
    """
    reader = _Reader((src_lang, tgt_lang))
    parser = expat.ParserCreate(namespace_separator=None)
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = reader.entity
    try:
        for chunk in read_chunks(path):
            parser.Parse(chunk, False)
            yield from reader.take()
        parser.Parse(b"", True)
        yield from reader.take()
    except (expat.ExpatError, _EntityError) as error:
        raise UserError(f"{path}: no usable TMX ({error}); repair the file") from error


class _EntityError(Exception):
    """A document type that declares entities: what XML bombs are made of."""


class _Reader:
    """The pairs finished so far and the segment being read."""

    def __init__(self, languages: tuple[str, str]):
        self._languages = languages
        self._finished: list[tuple[str, str]] = []
        self._sides: dict[str, str] = {}  # of the current unit
        self._language: str | None = None  # of the current variant
        self._segment: list[str] | None = None
        self._size = 0
        self._codes = 0  # how many native-markup elements are open

    def take(self) -> list[tuple[str, str]]:
        finished, self._finished = self._finished, []
        return finished

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "tu":
            self._sides = {}
        elif name == "tuv":
            code = attributes.get("xml:lang", attributes.get("lang", ""))
            self._language = self._matching(code)
        elif name == "seg" and self._language and self._language not in self._sides:
            self._segment, self._size, self._codes = [], 0, 0
        elif name in _CODES:
            self._codes += 1

    def end(self, name: str) -> None:
        if name == "seg" and self._segment is not None:
            # Line breaks inside a segment are layout, so a pair stays one line.
            self._sides[self._language] = clean_text("".join(self._segment))
            self._segment = None
        elif name == "tu":
            src, tgt = (self._sides.get(language, "") for language in self._languages)
            self._finished.append((src, tgt))
        elif name in _CODES:
            self._codes -= 1

    def text(self, data: str) -> None:
        if self._segment is None or self._codes or self._size > LINE_CAP_BYTES:
            return
        self._segment.append(data)
        self._size += len(data)

    def entity(self, name: str, *_: object) -> None:
        raise _EntityError(f"it declares the entity {name!r}")

    def _matching(self, code: str) -> str | None:
        code = code.lower().replace("_", "-")
        for language in self._languages:
            if code == language.lower() or code.startswith(language.lower() + "-"):
                return language
        return None
