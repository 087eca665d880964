"""What converting a source to lines of text tells besides the lines."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from amber_jax.corpora.text import clean_text

Row = tuple[str, ...]  # the cells of a line, as `text.clean_text` makes them


@dataclass
class Conversion:
    """What a source held besides its lines."""

    left_out: Counter[str] = field(default_factory=Counter)  # units, by reason
    unknown_entities: int = 0  # each became a space
    languages: set[str] = field(default_factory=set)  # codes of a memory's variants
    left_files: list[str] = field(default_factory=list)  # of an archive, not read


def joined(parts: Iterable[Conversion]) -> Conversion:
    """Returns what the parts of a source held, together."""
    total = Conversion()
    for part in parts:
        total.left_out += part.left_out
        total.unknown_entities += part.unknown_entities
        total.languages |= part.languages
        total.left_files += part.left_files
    return total


def document_rows(text: str) -> Iterator[Row]:
    """Yields the lines of a document that hold text, and the empty one at its end."""
    for line in text.split("\n"):
        if cell := clean_text(line):
            yield (cell,)
    yield ("",)
