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
        collections = tuple(
            _Documents(archive, code)
            for archive, code in zip((src, tgt), languages, strict=True)
        )
        for group in _link_groups(path):
            yield from _linked(group, collections, facts)


class _LinkGroup(NamedTuple):
    """The links between two documents."""

    documents: tuple[str, str]
    links: list[tuple[list[str], list[str]]]  # identifiers of sentences


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
        found: dict[str, str] = {}
        for element in _elements(self._archive.chunks(name), "s"):
            found[element.get("id", "")] = clean_text("".join(element.itertext()))
            element.clear()
        return found


def _linked(
    group: _LinkGroup, collections: tuple[_Documents, _Documents], facts: Conversion
) -> Iterator[Row]:
    names = group.documents
    swapped = names[0].split("/")[0] == collections[1].language
    try:
        sentences = [
            of_language.sentences(name)
            for of_language, name in zip(
                collections, reversed(names) if swapped else names, strict=True
            )
        ]
    except (KeyError, ElementTree.ParseError) as error:
        reason = "no_document" if isinstance(error, KeyError) else "not_xml"
        facts.left_out[reason] += len(group.links)
        return
    for link in group.links:
        sides = reversed(link) if swapped else link
        yield tuple(
            " ".join(of_side.get(one, "") for one in identifiers)
            for of_side, identifiers in zip(sentences, sides, strict=True)
        )


def _link_groups(path: Path) -> Iterator[_LinkGroup]:
    try:
        for element in _elements(read_chunks(path), "linkGrp"):
            links = []
            for link in element.iter("link"):
                src, _, tgt = link.get("xtargets", "").partition(";")
                links.append((src.split(), tgt.split()))
            documents = element.get("fromDoc", ""), element.get("toDoc", "")
            yield _LinkGroup(documents, links)
            element.clear()
    except ElementTree.ParseError as error:
        raise UserError(
            f"{path}: no usable alignment ({error}); download it again"
        ) from error


def _elements(chunks: Iterable[bytes], tag: str) -> Iterator[ElementTree.Element]:
    """Yields the elements of this name, whole, out of a file that declares no entity.

    Raises:
        ElementTree.ParseError: no well-formed XML, or entities are declared.
    """
    parser = ElementTree.XMLPullParser(("end",))
    for number, chunk in enumerate(chunks):
        if number == 0 and b"<!ENTITY" in chunk:
            raise ElementTree.ParseError("it declares entities")
        parser.feed(chunk)
        for _, element in parser.read_events():
            if element.tag == tag:
                yield element
    parser.close()
    for _, element in parser.read_events():
        if element.tag == tag:
            yield element
