"""Sources in the formats in which corpora are downloaded; each is converted to lines.

Another format is another class here: a dataclass that is `Converted`, and a
`TextSource` as well if it has no translations.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from amber_jax.corpora.conversion import Conversion, Row, document_rows
from amber_jax.corpora.formats.columns import SUFFIXES, data_files, read_columns
from amber_jax.corpora.formats.json_lines import Record, read_pages, read_records
from amber_jax.corpora.formats.opus import read_alignment, read_moses_archive
from amber_jax.corpora.formats.tfds import (
    example_text,
    example_translations,
    read_examples,
    split_files,
    split_parts,
)
from amber_jax.corpora.formats.wikipedia import (
    Span,
    dump_spans,
    index_path,
    read_dump,
)
from amber_jax.corpora.sources import Converted, TextSource
from amber_jax.corpora.text import clean_text

_TRANSLATION = "translation"  # the column of both sides, by language


@dataclass(frozen=True)
class WikipediaSource(TextSource, Converted):
    """The articles of a Wikimedia dump, `...pages-articles*.xml.bz2`.

    A multistream dump with its index beside it is converted in parts, side by side.
    """

    span: Span | None = None  # of its bytes; a part of a dump

    def files(self) -> tuple[Path, ...]:
        """Returns the dump, and the index beside it."""
        index = index_path(self.path)
        return (self.path, index) if index else (self.path,)

    def parts(self) -> tuple[Converted, ...]:
        """Returns the dump in parts of some 64 MiB, if it has an index."""
        return tuple(replace(self, span=span) for span in dump_spans(self.path))

    def rows(self, facts: Conversion) -> Iterator[Row]:
        """Yields the paragraphs of articles, see `formats.wikipedia.read_dump`."""
        return read_dump(self.path, facts, self.span)


@dataclass(frozen=True)
class WikimediaJsonSource(TextSource, Converted):
    """The articles of a search index or of an archive of Wikimedia Enterprise."""

    def rows(self, facts: Conversion) -> Iterator[Row]:
        """Yields the paragraphs of articles, see `formats.json_lines.read_pages`."""
        return read_pages(self.path, facts)


class _Records(Converted):
    """JSON lines, Parquet, Arrow, or a folder of a data set that is saved to disk."""

    def files(self) -> tuple[Path, ...]:
        """Returns the file, or those of the folder."""
        return data_files(self.path) if self.path.is_dir() else (self.path,)

    def parts(self) -> tuple[Converted, ...]:
        """Returns the files, each on its own."""
        return tuple(replace(self, path=path) for path in self.files())

    def _records(self, columns: tuple[str, ...], facts: Conversion) -> Iterator[Record]:
        for path in self.files():
            if path.suffix.lower() in SUFFIXES:
                yield from read_columns(path, columns)
            else:
                yield from read_records(path, facts)


@dataclass(frozen=True)
class RecordSource(TextSource, _Records):
    """Documents in a field of records: JSON lines, Parquet, Arrow, saved data sets.

    A line of a document is a line of text.
    """

    field: str = "text"  # with dots into nested records

    def rows(self, facts: Conversion) -> Iterator[Row]:
        """Yields the lines of each document; records without one are "no_text"."""
        names = self.field.split(".")
        for record in self._records((names[0],), facts):
            value = record
            for name in names:
                value = value.get(name) if isinstance(value, dict) else None
            if isinstance(value, str) and value.strip():
                yield from document_rows(value)
            else:
                facts.left_out["no_text"] += 1


@dataclass(frozen=True)
class RecordPairSource(_Records):
    """Pairs in records: {"translation": {"en": ..., "fr": ...}} or without the outer.

    The formats are those of `RecordSource`.
    """

    src_lang: str
    tgt_lang: str
    path: Path

    def rows(self, facts: Conversion) -> Iterator[Row]:
        """Yields both sides of each record; "" where one is missing."""
        languages = (self.src_lang, self.tgt_lang)
        for record in self._records((_TRANSLATION, *languages), facts):
            sides = record.get(_TRANSLATION)
            sides = sides if isinstance(sides, dict) else record
            texts = [sides.get(language) for language in languages]
            yield tuple(
                clean_text(text) if isinstance(text, str) else "" for text in texts
            )


@dataclass(frozen=True)
class MosesArchiveSource(Converted):
    """A zip archive of two files whose lines translate each other, as OPUS has them."""

    src_lang: str
    tgt_lang: str
    path: Path

    def rows(self, facts: Conversion) -> Iterator[Row]:
        """Yields both lines, see `formats.opus.read_moses_archive`."""
        return read_moses_archive(self.path, (self.src_lang, self.tgt_lang), facts)


@dataclass(frozen=True)
class XcesSource(Converted):
    """An alignment of sentences, and zip archives of the documents they stand in."""

    src_lang: str
    tgt_lang: str
    path: Path
    src_documents: Path
    tgt_documents: Path

    def files(self) -> tuple[Path, ...]:
        """Returns the alignment and both archives."""
        return self.path, self.src_documents, self.tgt_documents

    def rows(self, facts: Conversion) -> Iterator[Row]:
        """Yields the sentences of each link, see `formats.opus.read_alignment`."""
        languages = (self.src_lang, self.tgt_lang)
        documents = (self.src_documents, self.tgt_documents)
        return read_alignment(self.path, languages, documents, facts)


class _Examples(Converted):
    """A split of a data set that TensorFlow Datasets prepared."""

    split: str

    def files(self) -> tuple[Path, ...]:
        """Returns the files of the split, and those that describe the data set."""
        return split_files(self.path, self.split)

    def parts(self) -> tuple[Converted, ...]:
        """Returns the split in parts, by TFDS' own way to cut it."""
        parts = split_parts(self.path, self.split)
        return tuple(replace(self, split=part) for part in parts)


@dataclass(frozen=True)
class TfdsSource(TextSource, _Examples):
    """Documents of a prepared data set.

    `path` is DATA_DIR/NAME/CONFIG, or the folder of a version in it.
    """

    split: str = "train"
    feature: str = "text"

    def rows(self, facts: Conversion) -> Iterator[Row]:
        """Yields the lines of each document; examples without one are "no_text"."""
        for example in read_examples(self.path, self.split):
            if text := example_text(example, self.feature):
                yield from document_rows(text)
            else:
                facts.left_out["no_text"] += 1


@dataclass(frozen=True)
class TfdsPairSource(_Examples):
    """Pairs of a data set with translations; `path` as of `TfdsSource`."""

    src_lang: str
    tgt_lang: str
    path: Path
    split: str = "train"

    def rows(self, facts: Conversion) -> Iterator[Row]:
        """Yields both sides of each example; "" where one is missing."""
        del facts  # whatever is an example becomes a line
        for example in read_examples(self.path, self.split):
            texts = example_translations(example)
            languages = (self.src_lang, self.tgt_lang)
            yield tuple(clean_text(texts.get(language, "")) for language in languages)
