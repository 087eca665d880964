"""What a corpus is built from: one frozen record for each kind of input.

Every source is a table: lines are rows, languages are columns. Its pairs become
`pair` streams named "en-fr", English first and else by the alphabet, whichever side a
file has first; a table without pairs becomes a `mono` stream.
"""

import abc
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from amber_jax.corpora.conversion import Conversion, Row
from amber_jax.corpora.text import KEY, many_way_columns
from amber_jax.corpora.tmx import read_tmx
from amber_jax.errors import UserError

LanguagePair = tuple[str, str]

_ENGLISH = frozenset({"en", "eng"})
_CODE = re.compile("[A-Za-z]{2,8}([-_@][A-Za-z0-9]{1,10})*")  # OPUS has sr@latin


@dataclass(frozen=True)
class TextSource:
    """Running text of one language; an empty line ends a document."""

    language: str
    path: Path


@dataclass(frozen=True)
class MosesSource:
    """Two files whose lines translate each other."""

    src_lang: str
    tgt_lang: str
    src_path: Path
    tgt_path: Path


@dataclass(frozen=True)
class TsvSource:
    """One file without header: source sentence, tab, target sentence."""

    src_lang: str
    tgt_lang: str
    path: Path


@dataclass(frozen=True)
class ManyWaySource:
    """One file with header `key<TAB>en<TAB>de...`; pairs join `pivot` with the rest."""

    path: Path
    pivot: str = "en"
    languages: tuple[str, ...] = ()  # to pair with the pivot; none named: all


class Converted(abc.ABC):
    """A source in another format than lines of text; it is converted to lines first."""

    path: Path

    def files(self) -> tuple[Path, ...]:
        """Returns the files that it is read from."""
        return (self.path,)

    def parts(self) -> tuple["Converted", ...]:
        """Returns sources that hold its rows in order, to be converted side by side.

        They do not depend on how many workers there are.
        """
        return (self,)

    @abc.abstractmethod
    def rows(self, facts: Conversion) -> Iterator[Row]:
        """Yields the cells of each line, one a column; ("",) ends a document.

        Args:
            facts: is told what becomes no line.

        Raises:
            UserError: the file cannot be read.
        """


@dataclass(frozen=True)
class TmxSource(Converted):
    """One translation memory (TMX)."""

    src_lang: str
    tgt_lang: str
    path: Path

    def rows(self, facts: Conversion) -> Iterator[Row]:
        """Yields both sides of each translation unit, see `tmx.read_tmx`."""
        return read_tmx(self.path, self.src_lang, self.tgt_lang, facts)


Source = TextSource | MosesSource | TsvSource | ManyWaySource | Converted


def source_files(source: Source) -> tuple[Path, ...]:
    """Returns the files of a source, in column order."""
    if isinstance(source, MosesSource):
        return source.src_path, source.tgt_path
    return source.files() if isinstance(source, Converted) else (source.path,)


def source_columns(source: Source) -> tuple[str, ...]:
    """Returns the languages of a source's columns, perhaps after `text.KEY`.

    Raises:
        UserError: a many-way file lacks its pivot or a language the config names.
    """
    if isinstance(source, TextSource):
        return (source.language,)
    if not isinstance(source, ManyWaySource):
        return source.src_lang, source.tgt_lang
    columns = many_way_columns(source.path)
    for language in (source.pivot, *source.languages):
        if language not in columns:
            raise UserError(
                f"{source.path}: no column {language!r}; its header names "
                f"{' '.join(columns)}; correct the config"
            )
    return tuple(columns)


def source_pairs(source: Source, columns: tuple[str, ...]) -> tuple[LanguagePair, ...]:
    """Returns the languages that become pair streams, each as `ordered_pair`.

    Raises:
        UserError: there is no pair, or a code cannot name a stream.
    """
    if isinstance(source, TextSource):
        _check_codes(source, [source.language])
        return ()
    if isinstance(source, ManyWaySource):
        named = source.languages or columns
        others = [code for code in named if code not in (source.pivot, KEY)]
        pairs = tuple(ordered_pair(source.pivot, other) for other in others)
    else:
        pairs = (ordered_pair(source.src_lang, source.tgt_lang),)
    _check_codes(source, [code for pair in pairs for code in pair])
    if not pairs or any(src == tgt for src, tgt in pairs):
        raise UserError(
            f"{source_files(source)[0]}: no pair of two different languages; "
            "correct the languages in the config"
        )
    return pairs


def source_languages(source: Source) -> tuple[str, ...]:
    """Returns the languages of a source of which text is used; see `source_pairs`."""
    columns = source_columns(source)
    pairs = source_pairs(source, columns)
    return tuple(dict.fromkeys(itertools.chain(*pairs))) if pairs else columns


def ordered_pair(first: str, second: str) -> LanguagePair:
    """Returns two languages in the order of their stream's name.

    de, en     ("en", "de")        fr, de     ("de", "fr")
    """
    src, tgt = sorted((first, second), key=lambda code: (not _is_english(code), code))
    return src, tgt


def source_name(source: Source) -> str:
    """Returns what a source is read from, for a message."""
    if isinstance(source, Converted):
        return str(source.path)
    return " and ".join(map(str, source_files(source)))


def is_language_code(text: str) -> bool:
    """Returns whether `text` can name a stream, as en, zh-Hans and sr_Latn can."""
    return bool(_CODE.fullmatch(text))


def _is_english(code: str) -> bool:
    return re.split("[-_]", code.lower())[0] in _ENGLISH


def _check_codes(source: Source, codes: Sequence[str]) -> None:
    for code in codes:
        if not is_language_code(code):
            raise UserError(
                f"{source_files(source)[0]}: {code!r} is no language code; "
                "wanted letters and digits, as in en, zh-Hans or sr_Latn"
            )
