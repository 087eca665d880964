"""The repository's sample text for benchmarks: sentences, a vocabulary, a corpus."""

import csv
import lzma
from pathlib import Path

from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.recipe import Recipe
from amber_jax.corpora.sources import ManyWaySource, TextSource
from amber_jax.corpora.units import BuildOptions

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample"
LANGUAGES = ("en", "es", "fr", "pt", "id", "ar", "hi", "zh")
"""All but Russian, of which there is too little text."""
_VOCABULARY = ROOT / "tests" / "data" / "mbert_vocab.txt.xz"
_PARALLEL = SAMPLE / "parallel_train.tsv.xz"

OPTIONS = BuildOptions(  # as in configs/corpus_folder.py, but for the small shards
    row_length=256,
    max_pairs=16,
    rows_per_shard=64,
    alpha=0.7,
    max_side_tokens=126,
    cut_long_sides=False,
    max_length_ratio=4.0,
    max_line_bytes=1 << 16,
    unit_bytes=1 << 22,
    parallel_as_text=False,
)


def vocabulary(folder: Path) -> Path:
    """Returns mBERT's vocab.txt, unpacked into `folder`."""
    path = folder / "vocab.txt"
    with lzma.open(_VOCABULARY) as file:
        path.write_bytes(file.read())
    return path


def read_aloud(language: str) -> list[str]:
    """Returns short sentences of a language."""
    path = SAMPLE / "mono" / f"{language}.txt.xz"
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return [line for line in file.read().split("\n") if line]


def sentences(count: int) -> list[str]:
    """Returns sentences of eight languages in turn, long written and short spoken."""
    with lzma.open(_PARALLEL, "rt", encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    spoken = {language: read_aloud(language) for language in LANGUAGES}
    found = []
    for number, row in enumerate(written):
        for language in LANGUAGES:
            found += [
                text for text in (row[language], spoken[language][number]) if text
            ]
    return [found[i % len(found)] for i in range(count)]


def corpus(folder: Path) -> Path:
    """Returns a corpus of 28 language pairs and 8 languages, built into `folder`."""
    tables = [
        ManyWaySource(_PARALLEL, pivot=pivot, languages=LANGUAGES[number + 1 :])
        for number, pivot in enumerate(LANGUAGES[:-1])
    ]
    texts = [
        TextSource(language, SAMPLE / "mono" / f"{language}.txt.xz")
        for language in LANGUAGES
    ]
    recipe = Recipe((*texts, *tables), (), vocabulary(folder), OPTIONS)
    output = folder / "corpus"
    build_corpus(recipe, output, processes=0, report=lambda *_: None)
    return output
