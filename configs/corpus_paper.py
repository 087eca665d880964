"""The paper's corpus: Wikipedia in mBERT's 104 languages, and XLM's parallel corpora.

python launch/build_corpus.py --config=configs/corpus_paper.py:FOLDER \
    --config.tokenizer=DIR --output=DIR

FOLDER is laid out as configs/corpus_folder.py says; docs/data.md says what to download
into it. Files in mono/ may be dumps or anything else that holds text of a language. In
parallel/ the name of a file begins with that of its corpus, as in
MultiUN.ar-en.txt.zip or MultiUN_v1_moses_ar-en.txt.zip. What is missing is named; what
belongs to neither list is left. FOLDER:en,fr,ar takes these languages only.

Source: google-research/bert, multilingual.md, for the languages, of which Chinese
counts twice there; facebookresearch/XLM, get-data-para.sh, for the corpora; both are
those of Hu et al. 2021, "Explicit Alignment Objectives for Multilingual Bidirectional
Encoders".
"""

import collections
from collections.abc import Collection, Iterator

from ml_collections import ConfigDict

from amber_jax import config as settings
from amber_jax.corpora.folder import FolderContent, folder_sources, named_folder
from amber_jax.corpora.sources import (
    ManyWaySource,
    Source,
    TextSource,
    source_files,
)
from amber_jax.errors import UserError

LANGUAGES = (
    *("af", "an", "ar", "ast", "az", "azb", "ba", "bar", "be", "bg", "bn", "bpy"),
    *("br", "bs", "ca", "ce", "ceb", "cs", "cv", "cy", "da", "de", "el", "en"),
    *("es", "et", "eu", "fa", "fi", "fr", "fy", "ga", "gl", "gu", "he", "hi"),
    *("hr", "ht", "hu", "hy", "id", "io", "is", "it", "ja", "jv", "ka", "kk"),
    *("kn", "ko", "ky", "la", "lb", "lmo", "lt", "lv", "mg", "min", "mk", "ml"),
    *("mn", "mr", "ms", "my", "nds", "ne", "new", "nl", "nn", "no", "oc", "pa"),
    *("pl", "pms", "pnb", "pt", "ro", "ru", "scn", "sco", "sh", "sk", "sl", "sq"),
    *("sr", "su", "sv", "sw", "ta", "te", "tg", "th", "tl", "tr", "tt", "uk"),
    *("ur", "uz", "vi", "vo", "war", "yo", "zh"),
)
PARALLEL = {  # language beside English -> corpora
    "ar": ("MultiUN",),
    "bg": ("EUbookshop", "Europarl"),
    "de": ("EUbookshop",),
    "el": ("EUbookshop",),
    "es": ("MultiUN",),
    "fr": ("MultiUN",),
    "hi": ("IITB",),
    "ru": ("MultiUN",),
    "sw": ("Tanzil", "GlobalVoices"),
    "th": ("OpenSubtitles",),
    "tr": ("SETIMES", "Wikipedia", "TED2013"),
    "ur": ("Tanzil",),
    "vi": ("OpenSubtitles",),
    "zh": ("MultiUN",),
}


def get_config(text: str = "") -> ConfigDict:
    folder, named = named_folder(text)
    content = FolderContent((), (), ())
    where = "" if text[:1] in ("", ":") else str(folder)
    if where:
        content = folder_sources(folder)
    sources = tuple(_paper_sources(where, content.sources, named or LANGUAGES))
    config = settings.corpus()
    config.sources, config.evaluation_files = sources, content.held_out
    config.left_files = content.left + tuple(
        path
        for source in content.sources
        if source not in sources
        for path in source_files(source)
    )
    return config


def _paper_sources(
    folder: str, sources: Collection[Source], languages: Collection[str]
) -> Iterator[Source]:
    """Yields the sources of the lists above; refuses a folder that lacks one."""
    missing = [(language, "text") for language in languages]
    if "en" in languages:
        missing += [
            (language, corpus)
            for language in languages
            for corpus in PARALLEL.get(language, ())
        ]
    wanted = {*missing}
    for source in sources:
        if parts := wanted.intersection(_parts(source)):
            missing = [part for part in missing if part not in parts]
            yield source
    if folder and missing:
        by_corpus = collections.defaultdict(list)
        for language, corpus in missing:
            by_corpus[corpus].append(language)
        names = [f"{corpus} of {' '.join(of)}" for corpus, of in by_corpus.items()]
        raise UserError(
            f"{folder}: holds no {', '.join(names)}; add these files, or name the "
            "languages to take behind FOLDER:"
        )


def _parts(source: Source) -> Iterator[tuple[str, str]]:
    """Yields the language and the corpus, or "text", that a source may be."""
    if isinstance(source, TextSource):
        yield source.language, "text"
    elif not isinstance(source, ManyWaySource):
        name = source_files(source)[0].name.lower()
        for language in {source.src_lang, source.tgt_lang} - {"en"}:
            for corpus in PARALLEL.get(language, ()):
                if name.startswith(corpus.lower()):
                    yield language, corpus
