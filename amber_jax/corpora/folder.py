"""The sources of a folder of text whose files have telling names.

    FOLDER/mono/fr.txt, news.fr.txt         one sentence or paragraph a line
    FOLDER/mono/news.fr.jsonl               JSON lines with a field "text"
    FOLDER/mono/news.fr.parquet, .arrow     a column "text"
    FOLDER/mono/20231101.fr/                a folder of Parquet files, or a data set
                                            that Hugging Face's `datasets` saved
    FOLDER/mono/frwiki-20240101-pages-articles.xml.bz2
                                            Wikimedia's dumps, their parts and indexes,
                                            search indexes and Enterprise archives
    FOLDER/parallel/en-fr.tsv               two columns, no header
    FOLDER/parallel/memory.en-fr.tmx        translation memories
    FOLDER/parallel/MultiUN.en-fr.en, .fr   Moses pairs, as OPUS names them
    FOLDER/parallel/MultiUN.en-fr.txt.zip   the same in OPUS' zip archive
    FOLDER/parallel/en-fr.xml.gz            OPUS' alignments (XCES), with the documents
                                            of en.zip and fr.zip beside them
    FOLDER/parallel/news.en-fr.jsonl        JSON lines, Parquet, Arrow or folders: with
                                            "translation", or "en" and "fr"
    FOLDER/parallel/ntrex.tsv               header key<TAB>en<TAB>fr..., many languages
    FOLDER/tfds/wikipedia/20230601.fr/1.0.0 what TensorFlow Datasets prepared, its split
    FOLDER/tfds/para_crawl/enbg/1.2.0       "train"
    FOLDER/held_out/*                       sentences that no shard may hold

Text may be plain or end in .gz, .bz2, .xz or .zst. A language code may have subtags, as
zh_CN, sr_Latn and es_419 have. What is no text (README, LICENSE and the like) is left.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from amber_jax.corpora.downloads import (
    MosesArchiveSource,
    RecordPairSource,
    RecordSource,
    TfdsPairSource,
    TfdsSource,
    WikimediaJsonSource,
    WikipediaSource,
    XcesSource,
)
from amber_jax.corpora.formats.tfds import INFO, translated_languages
from amber_jax.corpora.formats.wikipedia import read_site
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
from amber_jax.storage import location

PIVOT = "en"  # the language that many-way files pair with all others
_COMPRESSED = r"((?i:\.gz|\.bz2|\.xz|\.zst))?$"
# Language, then country, region or script: they tell zh_cn from names like my_notes.
# The others are OPUS' for Wikipedias (zh_yue) and desktops (sr@latin).
_CODE = (
    r"([a-z]{2,3}(?:_(?:[A-Za-z]{2}|[0-9]{3}|[A-Z][a-z]{3}|yue|min_nan|classical|x_old|"
    r"tarask|smg|zam|vro|bms|rup|tara|latin|cyrillic))*(?:@[a-z]+)?)"
)
_RECORDS = "jsonl|ndjson|json|parquet|arrow"
_PAIR = re.compile(  # its beginning also as the program `opus_get` makes it
    rf"(?:.*\.|.*_(?:moses|raw|tmx|xml)_)?{_CODE}-{_CODE}"
    rf"(?:\.(tsv|tmx|xml|txt\.zip|{_RECORDS}|\1|\2))?{_COMPRESSED}"
)
_MANY_WAY = re.compile(r"[^.]+\.tsv" + _COMPRESSED)
_TEXT = re.compile(rf"(?:.*\.)?{_CODE}\.(txt|{_RECORDS}){_COMPRESSED}")
_DATA_SET = re.compile(  # with a config's name, as 20231101.fr and 20231101.zh-min-nan
    rf"(?:.*\.)?({_CODE[1:-1]}|[a-z]{{2,3}}(?:-[A-Za-z]+)*|simple)"
)
_WIKI = r"([a-z]{2,3}(?:_[a-z]+)*|simple)wik(?:i[a-z]*|tionary)-"
_DUMP = re.compile(
    rf"(?:{_WIKI})?[\w-]*?pages-articles((?:-multistream)?\d*\.xml)(?:-p\d+p\d+)?"
    + _COMPRESSED
)
_DUMP_PART = re.compile(r"\d+")
# Of the same pages the first that is there is taken; # is the number of a part.
_DUMP_FORMS = ("-multistream.xml", "-multistream#.xml", ".xml", "#.xml")
_WIKI_JSON = re.compile(
    rf"{_WIKI}[\w-]*(?:cirrussearch-content\.json(?:\.gz)?|ENTERPRISE-HTML\.json\.tar\.gz)"
)
_DUMP_INDEX = re.compile(r".*pages-articles-multistream-index\d*\.txt[\w-]*\.bz2")
_WIKI_LANGUAGES = {"simple": "en", "zh_classical": "lzh"}
_NO_TEXT = re.compile(  # what lies beside text
    r"\..*|(?:readme|licen[cs]e|copying|notice|citation|changelog|info)\b.*"
    r"|.*sums?\.txt|.*wiki-.*-(?:stub|abstract|all-titles|pages-meta|pages-logging|site).*"
    r"|.*\.sql(?:\.gz)?|.*\.(?:md|rst|html?|pdf|license|ids|scores|info|ya?ml|md5|sha\d+)(?:\.gz)?",
    re.IGNORECASE,
)
_DOCUMENTS = re.compile(rf"(?:.*\.|.*_(?:raw|xml)_)?{_CODE}\.zip")  # of an alignment


class FolderContent(NamedTuple):
    """What a folder holds."""

    sources: tuple[Source, ...]
    held_out: tuple[Path, ...]
    left: tuple[Path, ...]  # no text


def named_folder(text: str) -> tuple[Path, tuple[str, ...]]:
    """Returns folder and languages of the variant of a config.

    texts               texts, ()
    gs://mine/texts:en,fr       gs://mine/texts, ("en", "fr")
    """
    scheme, mark, rest = text.rpartition("://")
    folder, _, languages = rest.partition(":")
    named = tuple(languages.split(",")) if languages else ()
    return location(scheme + mark + folder), named


def folder_sources(folder: Path, languages: Collection[str] = ()) -> FolderContent:
    """Returns the sources of a folder, its held-out files, and what is left.

    Of a wiki's dumps that hold the same pages one is taken, see `_DUMP_FORMS`.

    Args:
        folder: laid out as above.
        languages: those to take; empty: all.

    Raises:
        UserError: a file's name or header says no language, half of a Moses pair is
            alone, or `languages` names one that no file has.
    """
    left: list[Path] = []
    texts = tuple(_texts(folder / "mono", languages, left))
    pairs = tuple(_pairs(folder / "parallel", languages, left))
    prepared = tuple(_prepared(folder / "tfds", languages))
    sources: tuple[Source, ...] = (*texts, *pairs, *prepared)
    unknown = set(languages) - {code for source in sources for code in _codes(source)}
    if unknown:
        raise UserError(
            f"{folder}: no file of {', '.join(sorted(unknown))}; "
            "correct the languages or add the text"
        )
    held_out = tuple(sorted((folder / "held_out").glob("*")))
    return FolderContent(sources, held_out, tuple(left))


def _texts(
    folder: Path, languages: Collection[str], left: list[Path]
) -> Iterator[TextSource]:
    paths = sorted(folder.glob("*"))
    repeated = _repeated_dumps(paths)
    for path in paths:
        if _NO_TEXT.fullmatch(path.name) or path in repeated:
            left.append(path)
        elif not _DUMP_INDEX.fullmatch(path.name):
            source = _text(path)
            if not languages or source.language in languages:
                yield source


def _repeated_dumps(paths: Iterable[Path]) -> set[Path]:
    """Returns the dumps whose pages another one holds as well."""
    forms: dict[str, dict[str, list[Path]]] = {}
    for path in paths:
        if name := _DUMP.fullmatch(path.name):
            of_wiki = forms.setdefault(path.name[: name.start(2)], {})
            of_wiki.setdefault(_DUMP_PART.sub("#", name[2]), []).append(path)
    repeated = set()
    for of_wiki in forms.values():
        best = next(form for form in _DUMP_FORMS if form in of_wiki)
        repeated |= {path for form in of_wiki if form != best for path in of_wiki[form]}
    return repeated


def _text(path: Path) -> TextSource:
    if name := _DUMP.fullmatch(path.name):
        code = name[1] or read_site(path).language
        return WikipediaSource(_WIKI_LANGUAGES.get(code, code), path)
    if name := _WIKI_JSON.fullmatch(path.name):
        return WikimediaJsonSource(_WIKI_LANGUAGES.get(name[1], name[1]), path)
    if path.is_dir() and (name := _DATA_SET.fullmatch(path.name)):
        return RecordSource(_WIKI_LANGUAGES.get(name[1], name[1]), path)
    if name := _TEXT.fullmatch(path.name):
        return (TextSource if name[2] == "txt" else RecordSource)(name[1], path)
    raise UserError(
        f"{path}: wanted a name like fr.txt, fr.txt.gz, news.fr.txt, sr_Latn.txt, "
        "news.fr.jsonl, fr.parquet or frwiki-20240101-pages-articles.xml.bz2 in mono/"
    )


def _pairs(
    folder: Path, languages: Collection[str], left: list[Path]
) -> Iterator[Source]:
    for path in sorted(folder.glob("*")):
        if _NO_TEXT.fullmatch(path.name):
            left.append(path)
        elif (name := _PAIR.fullmatch(path.name)) and (name[3] or path.is_dir()):
            if not languages or {name[1], name[2]} <= set(languages):
                yield from _pair(path, *name.groups(), left)
        elif _MANY_WAY.fullmatch(path.name):
            yield from _many_way(path, languages)
        elif not _DOCUMENTS.fullmatch(path.name):
            raise UserError(
                f"{path}: wanted a name like en-fr.tsv, x.en-fr.tmx, x.en-fr.en and "
                "x.en-fr.fr, x.en-fr.txt.zip, x.en-fr.jsonl, or x.tsv with a header of "
                "languages, in parallel/"
            )


def _pair(
    path: Path, src: str, tgt: str, kind: str, suffix: str | None, left: list[Path]
) -> Iterator[Source]:
    if kind == "tsv":
        yield TsvSource(src, tgt, path)
    elif kind == "tmx":
        yield TmxSource(src, tgt, path)
    elif kind == "txt.zip":
        yield MosesArchiveSource(src, tgt, path)
    elif kind == "xml":
        stem = path.name[: path.name.rindex(f"{src}-{tgt}")]
        documents = [path.with_name(f"{stem}{code}.zip") for code in (src, tgt)]
        if all(archive.is_file() for archive in documents):
            yield XcesSource(src, tgt, path, *documents)
        else:
            left.append(path)  # the twin of other files, or of no use
    elif kind in (src, tgt):
        other = _other_side(path, kind, tgt if kind == src else src, suffix or "")
        if kind == src:  # the second side is read with the first
            yield MosesSource(src, tgt, path, other)
    else:
        yield RecordPairSource(src, tgt, path)


def _prepared(folder: Path, languages: Collection[str]) -> Iterator[Source]:
    """Yields the data sets of TFDS' data folder, each in its last version."""
    for path in sorted({info.parent.parent for info in folder.rglob(INFO)}):
        for source in _data_set(path):
            if not languages or {*_codes(source)} <= {*languages}:
                yield source


def _data_set(path: Path) -> Iterator[Source]:
    if translated := translated_languages(path):
        first = PIVOT if PIVOT in translated else translated[0]
        for other in translated:
            if other != first:
                yield TfdsPairSource(first, other, path)
    elif name := _DATA_SET.fullmatch(path.name):
        yield TfdsSource(_WIKI_LANGUAGES.get(name[1], name[1]), path)
    else:
        raise UserError(
            f"{path}: wanted translations, or a config that names a language, as "
            "wikipedia/20230601.fr and wiki40b/fr do, in tfds/"
        )


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
    others = [column for column in columns if column not in (KEY, PIVOT)]
    chosen = tuple(
        language for language in others if not languages or language in languages
    )
    if chosen and (not languages or PIVOT in languages):
        yield ManyWaySource(path, PIVOT, chosen)


def _codes(source: Source) -> Sequence[str]:
    if isinstance(source, TextSource):
        return (source.language,)
    if isinstance(source, ManyWaySource):
        return source.pivot, *source.languages
    return source.src_lang, source.tgt_lang
