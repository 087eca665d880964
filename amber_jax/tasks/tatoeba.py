"""Sentence pairs for retrieval: Tatoeba v1 folders and many-way tables.

Both readers return {language: (its sentences, their English or pivot translations)};
row i of one list translates row i of the other.
"""

from collections.abc import Sequence
from pathlib import Path

from amber_jax.corpora.text import read_lines, read_many_way
from amber_jax.errors import UserError

Pairs = dict[str, tuple[list[str], list[str]]]

# ISO 639-3, as in the file names, to ISO 639-1: XTREME's 36 languages.
ISO_639_1 = {
    "afr": "af", "ara": "ar", "ben": "bn", "bul": "bg", "cmn": "zh", "deu": "de",
    "ell": "el", "est": "et", "eus": "eu", "fin": "fi", "fra": "fr", "heb": "he",
    "hin": "hi", "hun": "hu", "ind": "id", "ita": "it", "jav": "jv", "jpn": "ja",
    "kat": "ka", "kaz": "kk", "kor": "ko", "mal": "ml", "mar": "mr", "nld": "nl",
    "pes": "fa", "por": "pt", "rus": "ru", "spa": "es", "swh": "sw", "tam": "ta",
    "tel": "te", "tgl": "tl", "tha": "th", "tur": "tr", "urd": "ur", "vie": "vi",
}  # fmt: skip
_ISO_639_3 = {two: three for three, two in ISO_639_1.items()}


def read_tatoeba(directory: Path, languages: Sequence[str] | None = None) -> Pairs:
    """Returns the pairs of a Tatoeba v1 folder, languages in the given order.

    Files are `tatoeba.fra-eng.fra` and `tatoeba.fra-eng.eng`, one sentence a line.

    Args:
        directory: the folder.
        languages: ISO 639-1 names ("fr"), or 639-3 where XTREME has none; all
            languages of the folder by default, in alphabetical order.

    Raises:
        UserError: if a file is missing, not UTF-8, or its lines do not pair up.

    Source: github.com/facebookresearch/LASER, data/tatoeba/v1.
    """
    directory = Path(directory)
    present = _languages_in(directory)
    wanted = present if languages is None else list(languages)
    missing = [language for language in wanted if language not in present]
    if missing or not wanted:
        raise UserError(
            f"{directory} has no Tatoeba files for {_listed(missing)}; wanted "
            "tatoeba.LLL-eng.LLL and tatoeba.LLL-eng.eng, found the languages "
            f"{_listed(present)}"
        )
    return {language: _read_pair(directory, language) for language in wanted}


def read_many_way_pairs(
    path: Path, pivot: str = "en", *, languages: Sequence[str] | None = None
) -> Pairs:
    """Returns the rows of a many-way table that exist in both languages of a pair.

    Args:
        path: a table as `corpora.text.read_many_way` reads it.
        pivot: the language every other one is paired with.
        languages: the others; by default all of the table, in its order.

    Raises:
        UserError: if a language is not a column, or shares no row with the pivot.
    """
    columns, rows = read_many_way(Path(path))
    wanted = [name for name in columns if name != pivot]
    if languages is not None:
        wanted = list(languages)
    missing = [name for name in (pivot, *wanted) if name not in columns]
    if missing:
        raise UserError(
            f"{path} has no column {_listed(missing)}; its languages are "
            f"{_listed(columns)}"
        )
    pairs: Pairs = {name: ([], []) for name in wanted}
    for row in rows:
        for name in wanted:
            if pivot in row and name in row:
                pairs[name][0].append(row[name])
                pairs[name][1].append(row[pivot])
    _refuse_empty(pairs, path, pivot)
    return pairs


def _refuse_empty(pairs: Pairs, path: Path, pivot: str) -> None:
    empty = [name for name, (sentences, _) in pairs.items() if not sentences]
    if empty:
        raise UserError(
            f"{path} has no row with both {pivot} and {_listed(empty)}; "
            "leave these languages out"
        )


def _languages_in(directory: Path) -> list[str]:
    codes = {path.name.split(".")[-1] for path in directory.glob("tatoeba.*-eng.*")}
    names = (ISO_639_1.get(code, code) for code in codes)
    return sorted(name for name in names if name != "eng")


def _read_pair(directory: Path, language: str) -> tuple[list[str], list[str]]:
    code = _ISO_639_3.get(language, language)
    sides = [directory / f"tatoeba.{code}-eng.{side}" for side in (code, "eng")]
    sentences, english = (_read_sentences(side) for side in sides)
    if len(sentences) != len(english) or not sentences:
        raise UserError(
            f"{sides[0]} has {len(sentences)} lines and {sides[1].name} has "
            f"{len(english)}; wanted line i to translate line i in both"
        )
    return sentences, english


def _read_sentences(path: Path) -> list[str]:
    sentences = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            sentences.append(line.decode("utf-8-sig").strip())
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}, line {number} is not UTF-8; convert or download the file"
            ) from error
    return sentences


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "(none)"
