"""JSON lines: one object a line, as most collections of web text come.

Also Wikimedia's two: search indexes (`...cirrussearch-content.json.gz`, where every
second line only announces the next) and Enterprise's archives of pages
(`...ENTERPRISE-HTML.json.tar.gz`).

Source: Wikimedia's CirrusSearch dumps and Enterprise data dictionary.
"""

import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from amber_jax.corpora.conversion import Conversion, Row
from amber_jax.corpora.formats.wikitext import HIDDEN, paragraphs
from amber_jax.corpora.text import bounded, read_chunks, split_lines
from amber_jax.errors import UserError

Record = dict[str, Any]

RECORD_CAP_BYTES = 64 << 20  # longer lines are left out
_ANNOUNCEMENT = frozenset({"index"})  # the only key of such a line


def read_records(path: Path, facts: Conversion) -> Iterator[Record]:
    """Yields the object of each line.

    Args:
        path: plain or compressed.
        facts: counts lines that are no object ("not_json") or are "too_long".

    Raises:
        UserError: as `text.read_chunks`.
    """
    return _records(read_chunks(path), facts)


def read_pages(path: Path, facts: Conversion) -> Iterator[Row]:
    """Yields the paragraphs of Wikimedia's records of pages, and their ends.

    Text is taken out of the page's wikitext, where that is there.

    Args:
        path: a search index, or an archive whose name ends in .tar.gz.
        facts: counts what is no article, and what `read_records` counts.

    Raises:
        UserError: it cannot be read.
    """
    is_archive = ".tar." in path.name.lower()
    chunks = _members(path) if is_archive else read_chunks(path)
    for record in _records(chunks, facts):
        if record.keys() <= _ANNOUNCEMENT:
            continue
        namespace = record.get("namespace") or 0
        if isinstance(namespace, dict):
            namespace = namespace.get("identifier", 0)
        lines = [] if namespace else _paragraphs(record)
        if lines:
            yield from ((paragraph,) for paragraph in lines)
            yield ("",)
        else:
            facts.left_out["other_namespace" if namespace else "no_running_text"] += 1


def _paragraphs(record: Record) -> list[str]:
    body = record.get("article_body")
    body = body if isinstance(body, dict) else {}
    wikitext = body.get("wikitext") or record.get("source_text")
    if isinstance(wikitext, str):
        return paragraphs(wikitext, HIDDEN | frozenset(_category_names(record)))
    text = record.get("text")
    if not isinstance(text, str):
        return []
    return [cell for line in text.split("\n") if (cell := " ".join(line.split()))]


def _category_names(record: Record) -> Iterator[str]:
    """Yields what the wiki calls the namespace of categories, lower-cased."""
    for category in record.get("categories") or ():
        name = category.get("name") if isinstance(category, dict) else None
        if isinstance(name, str) and ":" in name:
            yield name.partition(":")[0].lower()


def _records(chunks: Iterable[bytes], facts: Conversion) -> Iterator[Record]:
    for line in split_lines(chunks, cap=RECORD_CAP_BYTES):
        if not line.strip():
            continue
        if len(line) > RECORD_CAP_BYTES:
            facts.left_out["too_long"] += 1
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            yield record
        else:
            facts.left_out["not_json"] += 1


def _members(path: Path) -> Iterator[bytes]:
    """Yields the bytes of the files in a tar archive, one after the other."""
    size = path.stat().st_size
    try:
        with (
            path.open("rb") as stored,
            tarfile.open(fileobj=stored, mode="r|*") as archive,
        ):
            for member in archive:
                if file := archive.extractfile(member):
                    yield from bounded(file, f"{path}, {member.name}", size)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(
            f"{path}: cannot be read to its end ({error}); download it again"
        ) from error
