"""What benchmarks work on: sample sentences, a vocabulary, a corpus, an encoder."""

import csv
import lzma
from pathlib import Path

from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.recipe import Recipe
from amber_jax.corpora.sources import ManyWaySource, TextSource
from amber_jax.corpora.unit_rows import BuildOptions
from amber_jax.errors import UserError
from amber_jax.model.encoder import EncoderConfig

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample"
LANGUAGES = ("en", "es", "fr", "pt", "id", "ar", "hi", "zh")
"""All but Russian, of which there is too little text."""
_HEAD = 64
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


def encoder_config(
    vocab_size: int, *, num_layers: int, hidden_size: int, max_positions: int
) -> EncoderConfig:
    """Returns an encoder of BERT's proportions: heads of 64, four times as wide within.

    Raises:
        UserError: heads of 64 do not divide `hidden_size`.
    """
    if hidden_size % _HEAD:
        raise UserError(
            f"--hidden_size is {hidden_size}; wanted a multiple of {_HEAD}, the "
            "width of a head"
        )
    return EncoderConfig(
        vocab_size=vocab_size,
        num_layers=num_layers,
        hidden_size=hidden_size,
        num_heads=hidden_size // _HEAD,
        intermediate_size=4 * hidden_size,
        max_positions=max_positions,
        num_segments=2,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        initializer_range=0.02,
        dtype="float32",
        remat=False,
    )


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
    texts = []
    for number, row in enumerate(written):
        for language in LANGUAGES:
            texts += [
                text for text in (row[language], spoken[language][number]) if text
            ]
    return [texts[i % len(texts)] for i in range(count)]


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
    build_corpus(recipe, output, processes=0, report=_silent, note=_silent)
    return output


def _silent(*_: object) -> None:
    pass
