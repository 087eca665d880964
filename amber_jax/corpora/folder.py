"""The sources of a folder of text whose files have telling names.

    FOLDER/mono/fr.txt, news.fr.txt         one sentence or paragraph a line
    FOLDER/parallel/en-fr.tsv               two columns, no header
    FOLDER/parallel/memory.en-fr.tmx        translation memories
    FOLDER/parallel/MultiUN.en-fr.en, .fr   Moses pairs, as OPUS names them
    FOLDER/parallel/ntrex.tsv               header key<TAB>en<TAB>fr..., many languages
    FOLDER/held_out/*                       sentences that no shard may hold

Each may be plain or end in .gz, .bz2, .xz or .zst. A language code may have subtags, as
zh_CN, sr_Latn and es_419 have.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from amber_jax.corpora.sources import (
    ManyWaySource,
    MosesSource,
    Source,
    TextSource,
    TmxSource,
    TsvSource,
    is_language_code,
)
from amber_jax.corpora.text import KEY, many_way_columns
from amber_jax.errors import UserError

PIVOT = "en"  # the language that many-way files pair with all others
_COMPRESSED = r"((?i:\.gz|\.bz2|\.xz|\.zst))?$"
# Language, then country, region or script: they tell zh_cn from names like my_notes.
_CODE = r"([a-z]{2,3}(?:_(?:[A-Za-z]{2}|[0-9]{3}|[A-Z][a-z]{3}))*)"
_PAIR = re.compile(rf"(?:.*\.)?{_CODE}-{_CODE}\.(tsv|tmx|\1|\2)" + _COMPRESSED)
_MANY_WAY = re.compile(r"[^.]+\.tsv" + _COMPRESSED)
_TEXT = re.compile(rf"(?:.*\.)?{_CODE}\.txt" + _COMPRESSED)


def folder_sources(
    folder: Path, languages: Collection[str] = ()
) -> tuple[tuple[Source, ...], tuple[Path, ...]]:
    """Returns the sources of a folder, and its held-out files.

    Args:
        folder: laid out as above.
        languages: those to take; empty: all.

    Raises:
        UserError: a file's name or header says no language, half of a Moses pair is
            alone, or `languages` names one that no file has.
    """
    texts = tuple(_texts(folder / "mono", languages))
    pairs = tuple(_pairs(folder / "parallel", languages))
    unknown = set(languages) - {code for one in texts + pairs for code in _codes(one)}
    if unknown:
        raise UserError(
            f"{folder}: no file of {', '.join(sorted(unknown))}; "
            "correct the languages or add the text"
        )
    return texts + pairs, tuple(sorted((folder / "held_out").glob("*")))


def _texts(folder: Path, languages: Collection[str]) -> Iterator[TextSource]:
    for path in sorted(folder.glob("*")):
        if not (found := _TEXT.match(path.name)):
            raise UserError(
                f"{path}: wanted a name like fr.txt, fr.txt.gz, news.fr.txt or "
                "sr_Latn.txt in mono/"
            )
        if not languages or found[1] in languages:
            yield TextSource(found[1], path)


def _pairs(folder: Path, languages: Collection[str]) -> Iterator[Source]:
    for path in sorted(folder.glob("*")):
        if found := _PAIR.match(path.name):
            if not languages or {found[1], found[2]} <= set(languages):
                yield from _pair(path, *found.groups())
        elif _MANY_WAY.match(path.name):
            yield from _many_way(path, languages)
        else:
            raise UserError(
                f"{path}: wanted a name like en-fr.tsv, x.en-fr.tmx, x.en-fr.en and "
                "x.en-fr.fr, or x.tsv with a header of languages, in parallel/"
            )


def _pair(
    path: Path, src: str, tgt: str, kind: str, suffix: str | None
) -> Iterator[Source]:
    if kind == "tsv":
        yield TsvSource(src, tgt, path)
    elif kind == "tmx":
        yield TmxSource(src, tgt, path)
    else:
        other = _other_side(path, kind, tgt if kind == src else src, suffix or "")
        if kind == src:  # the second side is read with the first
            yield MosesSource(src, tgt, path, other)


def _other_side(path: Path, side: str, other: str, suffix: str) -> Path:
    stem = path.name.removesuffix(f".{side}{suffix}")
    expected = path.with_name(f"{stem}.{other}{suffix}")
    if not expected.is_file():
        raise UserError(
            f"{path}: half of a pair, but {expected.name} is not beside it; "
            "add that file or remove this one"
        )
    return expected


def _many_way(path: Path, languages: Collection[str]) -> Iterator[ManyWaySource]:
    columns = many_way_columns(path)
    if PIVOT not in columns or not all(map(is_language_code, columns)):
        raise UserError(
            f"{path}: its first line is {' '.join(columns)[:80]!r}; wanted language "
            f"codes, {PIVOT!r} among them, or a name like en-fr.tsv for two languages"
        )
    others = [one for one in columns if one not in (KEY, PIVOT)]
    chosen = tuple(one for one in others if not languages or one in languages)
    if chosen and (not languages or PIVOT in languages):
        yield ManyWaySource(path, PIVOT, chosen)


def _codes(source: Source) -> Sequence[str]:
    if isinstance(source, TextSource):
        return (source.language,)
    if isinstance(source, ManyWaySource):
        return source.pivot, *source.languages
    return source.src_lang, source.tgt_lang
