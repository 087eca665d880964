"""OPUS as downloaded: zip archives of Moses pairs, and sentence alignments (XCES).

    en-fr.txt.zip       CORPUS.en-fr.en, CORPUS.en-fr.fr, README, LICENSE, ...
    en-fr.xml.gz        which sentences of which documents translate each other
    en.zip, fr.zip      those documents, in XML

Source: the formats of OPUS' downloads; XCES' cesAlign.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from amber_jax.corpora.conversion import Conversion, Row
from amber_jax.corpora.formats.archives import Archive, open_archive
from amber_jax.corpora.text import (
    LINE_CAP_BYTES,
    clean_line,
    clean_text,
    read_chunks,
    split_lines,
)
from amber_jax.errors import UserError

Languages = tuple[str, str]


def read_moses_archive(
    path: Path, languages: Languages, facts: Conversion
) -> Iterator[Row]:
    """Yields the lines of every two members named x.SOURCE and x.TARGET.

    Args:
        path: of the zip archive.
        languages: source and target.
        facts: is told the members that are not read, and counts lines that are no text.

    Raises:
        UserError: it is damaged, has no such members, or their lines do not match.
    """
    with open_archive(path) as archive:
        src_stems, tgt_stems = (
            {name[: -len(end)] for name in archive.names if name.endswith(end)}
            for end in (f".{code}" for code in languages)
        )
        stems = sorted(src_stems & tgt_stems)
        if not stems:
            raise UserError(
                f"{path}: holds {', '.join(archive.names[:5]) or 'nothing'}; wanted "
                f"names that end in .{languages[0]} and .{languages[1]}"
            )
        members = [tuple(f"{stem}.{code}" for code in languages) for stem in stems]
        read = {*itertools.chain(*members)}
        facts.left_files += [name for name in archive.names if name not in read]
        for src, tgt in members:
            yield from _pairs(archive, src, tgt, facts)


def _pairs(archive: Archive, src: str, tgt: str, facts: Conversion) -> Iterator[Row]:
    sides = [split_lines(archive.chunks(name)) for name in (src, tgt)]
    counts = [0, 0]
    for raws in itertools.zip_longest(*sides):
        counts = [
            count + (raw is not None) for count, raw in zip(counts, raws, strict=True)
        ]
        if None in raws:
            continue
        cells = [clean_line(raw, max_bytes=LINE_CAP_BYTES) for raw in raws]
        if reason := next((why for _, why in cells if why not in (None, "empty")), ""):
            facts.left_out[reason] += 1
        else:
            yield tuple(text or "" for text, _ in cells)
    if counts[0] != counts[1]:
        raise UserError(
            f"{archive.path}: {src} has {counts[0]} lines but {tgt} has {counts[1]}; "
            "line i must translate line i, so repair the files"
        )


def read_alignment(
    path: Path, languages: Languages, documents: tuple[Path, Path], facts: Conversion
) -> Iterator[Row]:
    """Yields the sentences of every link; "" where a side has none.

    Args:
        path: of the alignment, plain or compressed.
        languages: source and target.
        documents: zip archives of the documents in each language.
        facts: counts links to documents that are not there ("no_document") or broken
            ("not_xml").

    Raises:
        UserError: a file cannot be read.
    """
    with open_archive(documents[0]) as src, open_archive(documents[1]) as tgt:
        archives = zip((src, tgt), languages, strict=True)
        collections = [_Documents(archive, code) for archive, code in archives]
        group = _Group({}, {}, "no_document")
        try:
            for element in _elements(read_chunks(path), "link", start="linkGrp"):
                if element.tag == "linkGrp":
                    group = _group(element, *collections)
                elif group.reason:
                    facts.left_out[group.reason] += 1
                else:
                    yield _linked(element, group)
        except ElementTree.ParseError as error:
            raise UserError(
                f"{path}: no usable alignment ({error}); download it again"
            ) from error


class _Group(NamedTuple):
    """The sentences of two documents, by identifier."""

    first: dict[str, str]
    second: dict[str, str]
    reason: str = ""  # why there are none
    swapped: bool = False  # the first are those of the target


class _Documents:
    """The documents of one language."""

    def __init__(self, archive: Archive, language: str):
        self._archive = archive
        self.language = language
        self._members = {}
        for name in archive.names:
            parts = name.removesuffix(".gz").split("/")
            start = parts.index(language) if language in parts else 0
            self._members["/".join(parts[start:])] = name

    def sentences(self, document: str) -> dict[str, str]:
        """Returns the sentences of a document by identifier.

        Raises:
            KeyError: it is not there.
            ElementTree.ParseError: it is broken.
        """
        name = self._members[document.removesuffix(".gz")]
        sentences: dict[str, str] = {}
        for element in _elements(self._archive.chunks(name), "s"):
            sentences[element.get("id", "")] = clean_text("".join(element.itertext()))
        return sentences


def _group(element: ElementTree.Element, src: _Documents, tgt: _Documents) -> _Group:
    names = element.get("fromDoc", ""), element.get("toDoc", "")
    swapped = names[0].split("/")[0] == tgt.language
    first, second = (tgt, src) if swapped else (src, tgt)
    try:
        return _Group(
            first.sentences(names[0]), second.sentences(names[1]), swapped=swapped
        )
    except KeyError:
        return _Group({}, {}, "no_document")
    except ElementTree.ParseError:
        return _Group({}, {}, "not_xml")


def _linked(link: ElementTree.Element, group: _Group) -> Row:
    first, _, second = link.get("xtargets", "").partition(";")
    sides = (
        " ".join(sentences.get(identifier, "") for identifier in side.split())
        for side, sentences in ((first, group.first), (second, group.second))
    )
    row = tuple(map(clean_text, sides))
    return row[::-1] if group.swapped else row


def _elements(
    chunks: Iterable[bytes], end: str, start: str = ""
) -> Iterator[ElementTree.Element]:
    """Yields elements when they begin or end, and forgets the latter.

    Args:
        chunks: of a file.
        end: the name of those that are yielded whole.
        start: the name of those that are yielded with their attributes alone.

    Raises:
        ElementTree.ParseError: no well-formed XML, or entities are declared.
    """
    parser = ElementTree.XMLPullParser(("start", "end"))
    ancestors: list[ElementTree.Element] = []
    for number, chunk in enumerate(itertools.chain(chunks, (b"",))):
        if number == 0 and b"<!ENTITY" in chunk:
            raise ElementTree.ParseError("it declares entities")
        if chunk:
            parser.feed(chunk)
        else:
            parser.close()
        for event, element in parser.read_events():
            if event == "start":
                ancestors.append(element)
            else:
                ancestors.pop()
            if element.tag == (start if event == "start" else end):
                yield element
                if event == "end" and ancestors:
                    ancestors[-1].remove(element)
