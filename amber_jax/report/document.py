"""A report as parts in reading order, whatever it is written as.

All text is plain text: who writes a page escapes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amber_jax.report.tables import Table


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """A table of words."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A PNG file."""

    path: Path
    title: str
    caption: str


Block = Paragraph | Bullets | Facts | Picture | Table


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    sections: Sequence[Section]
