"""A SentencePiece vocabulary of 8,000 pieces from the sample text in data/.

Variant FOLDER takes the text of a folder of your own, laid out as
configs/corpus_folder.py says; FOLDER:en,fr,ar these languages only. Read are texts,
Moses pairs and many-way tables; two-column tables, translation memories and OPUS'
archives are not.
"""

from pathlib import Path

from ml_collections import ConfigDict

from amber_jax.corpora.folder import folder_sources, named_folder
from amber_jax.corpora.sources import (
    Converted,
    ManyWaySource,
    MosesSource,
    Source,
    TextSource,
)

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample"
LANGUAGES = ("en", "es", "fr", "pt", "id", "ru", "ar", "hi", "zh")


def _texts(source: Source) -> list[tuple[str, str] | TextSource]:
    if isinstance(source, TextSource) and isinstance(source, Converted):
        return [source]
    if isinstance(source, TextSource):
        return [(source.language, str(source.path))]
    if isinstance(source, MosesSource):
        return [
            (source.src_lang, str(source.src_path)),
            (source.tgt_lang, str(source.tgt_path)),
        ]
    return []


def get_config(text: str = "") -> ConfigDict:
    folder, languages = named_folder(text)
    sources: tuple[Source, ...] = (
        *(
            TextSource(language, SAMPLE / "mono" / f"{language}.txt.xz")
            for language in LANGUAGES
        ),
        ManyWaySource(SAMPLE / "parallel_train.tsv.xz"),
    )
    if text:
        sources = folder_sources(folder, languages).sources

    config = ConfigDict()
    # Text of one language: (language, path) of one sentence a line, or a source.
    config.files = tuple(text for source in sources for text in _texts(source))
    # Tables with a column for each language.
    config.many_way = tuple(
        str(source.path) for source in sources if isinstance(source, ManyWaySource)
    )
    config.languages = languages  # taken from these; empty: all
    config.vocab_size = 8000
    # Sentences drawn, over all languages: share of a language ∝ its sentences^alpha.
    config.sentences = 40_000
    config.alpha = 0.7
    config.seed = 0
    # Characters beyond this share of the text are spelled in UTF-8 bytes.
    config.character_coverage = 0.9995
    config.byte_fallback = True
    return config.lock()
