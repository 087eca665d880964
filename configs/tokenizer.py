"""A SentencePiece vocabulary of 8,000 pieces from the sample text in data/."""

from pathlib import Path

from ml_collections import ConfigDict

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample"
LANGUAGES = ("en", "es", "fr", "pt", "id", "ru", "ar", "hi", "zh")


def get_config(arg: str | None = None) -> ConfigDict:
    del arg
    config = ConfigDict()
    # Text of one language: (language, path), one sentence a line.
    config.files = tuple(
        (language, str(SAMPLE / "mono" / f"{language}.txt.xz"))
        for language in LANGUAGES
    )
    # Tables with a column for each language.
    config.many_way = (str(SAMPLE / "parallel_train.tsv.xz"),)
    config.vocab_size = 8000
    # Sentences drawn, over all languages: share of a language ∝ its sentences^alpha.
    config.sentences = 40_000
    config.alpha = 0.7
    config.seed = 0
    # Characters beyond this share of the text are spelled in UTF-8 bytes.
    config.character_coverage = 0.9995
    config.byte_fallback = True
    return config.lock()
