"""Sentence pairs for retrieval: Tatoeba folders, TFDS, and many-way tables.

All readers return {language: (its sentences, their English or pivot translations)};
row i of one list translates row i of the other.
"""

from collections.abc import Sequence
from pathlib import Path

from amber_jax.corpora.text import read_many_way
from amber_jax.datasets import tfds_source
from amber_jax.datasets.text_lines import numbered_lines
from amber_jax.errors import UserError
from amber_jax.storage import location

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


def read_tatoeba(directory: Path, languages: Sequence[str] | None = None) -> Pairs:
    """Returns the pairs of a Tatoeba folder, languages in the given order.

    Files hold one sentence a line and are called `tatoeba.fra-eng.fra` and
    `tatoeba.fra-eng.eng`, as in Tatoeba v1, or `fr-en.fr` and `fr-en.en`, as XTREME
    calls them. XTREME sorts the English side, which hides what translates what: such
    files are refused, they have no gold.

    Args:
        directory: the folder.
        languages: ISO 639-1 names ("fr"), or 639-3 where XTREME has none; all
            languages of the folder by default, in alphabetical order.

    Raises:
        UserError: if a file is missing, not UTF-8, its lines do not pair up, or they
            are sorted.

    Source: github.com/facebookresearch/LASER, data/tatoeba/v1; google-research/xtreme,
    utils_preprocess.py.
    """
    directory = location(directory)
    present = _languages_in(directory)
    wanted = present if languages is None else list(languages)
    missing = [language for language in wanted if language not in present]
    if missing or not wanted:
        raise UserError(
            f"{directory} has no Tatoeba files for {_listed(missing)}; wanted "
            "tatoeba.LLL-eng.LLL and tatoeba.LLL-eng.eng, or LL-en.LL and LL-en.en, "
            f"found the languages {_listed(sorted(present))}"
        )
    return {language: _read_pair(*present[language]) for language in wanted}


def read_tfds_tatoeba(source: str, languages: Sequence[str]) -> Pairs:
    """Returns the pairs of TFDS `tatoeba`.

    Args:
        source: as in `tfds_source`: "tfds:tatoeba/tatoeba_{language}:train".
        languages: ISO 639-1 names.

    Raises:
        UserError: a data set cannot be had.
    """
    return {
        language: tfds_source.read_translations(source, language=language)
        for language in languages
    }


def sorted_english(english: Sequence[str]) -> list[int]:
    """Returns the rows of the English side in the order of XTREME's file.

    Line k of XTREME's predictions is the row of the other side that is nearest to row
    `sorted_english(english)[k]`; these numbers are also its gold.

        ["Yes.", "No.", "Maybe."]     [2, 1, 0]

    Source: google-research/xtreme, utils_preprocess.py (by text; equal ones as before).
    """
    return sorted(range(len(english)), key=english.__getitem__)


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
    columns, rows = read_many_way(location(path))
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


def _languages_in(directory: Path) -> dict[str, tuple[Path, Path]]:
    """Returns {language: (its file, the English file)}, by language."""
    files = {}
    for english in directory.glob("*-en.en"):  # XTREME's
        language = english.name.removesuffix("-en.en")
        files[language] = english.with_name(f"{language}-en.{language}"), english
    for path in directory.glob("tatoeba.*-eng.*"):
        code = path.suffix.removeprefix(".")
        if code == "eng":
            continue
        language = ISO_639_1.get(code, code)
        files[language] = path, path.with_suffix(".eng")
    return dict(sorted(files.items()))


def _read_pair(path: Path, english_path: Path) -> tuple[list[str], list[str]]:
    sentences, english = _read_sentences(path), _read_sentences(english_path)
    if len(sentences) != len(english) or not sentences:
        raise UserError(
            f"{path} has {len(sentences)} lines and {english_path.name} has "
            f"{len(english)}; wanted line i to translate line i in both"
        )
    if english_path.suffix == ".en" and len(english) > 1 and _is_sorted(english):
        raise UserError(
            f"{english_path} is sorted, as XTREME ships it to hide which line "
            "translates which; nothing can be scored, use the files of Tatoeba v1"
        )
    return sentences, english


def _is_sorted(english: Sequence[str]) -> bool:
    return sorted_english(english) == list(range(len(english)))


def _read_sentences(path: Path) -> list[str]:
    return [line.strip() for _, line in numbered_lines(path)]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "(none)"
