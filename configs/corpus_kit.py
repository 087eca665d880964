"""The corpus of a kit: free text of many languages beside the benchmarks' files.

    python launch/build_corpus.py --config=configs/corpus_kit.py:KIT \
        --config.tokenizer=DIR --output=DIR

    KIT/mono/SOURCE/fr.txt.xz       sentences or paragraphs
    KIT/parallel/NAME.tsv.xz        header key<TAB>en<TAB>fr..., many languages
    KIT/MANIFEST.tsv                the files, their licenses
    KIT/{tatoeba,ud,udpos_xtreme,xnli,pawsx,align}/    benchmarks

No shard holds a sentence of a benchmark's test set, nor the same line twice: the
sources of a language, as paragraphs of Wikipedia from different tests of
understanding, overlap.
"""

import csv
from pathlib import Path

from ml_collections import ConfigDict

from amber_jax import config as settings
from amber_jax.corpora.sources import ManyWaySource, TextSource
from amber_jax.storage import location

TESTS = (
    *("tatoeba/*", "ud/*/*test*", "udpos_xtreme/test-*", "xnli/test-*"),
    *("pawsx/*/test*", "align/*/*/test*"),
)


def get_config(folder: str = "kit") -> ConfigDict:
    kit = location(folder)
    texts = sorted(kit.glob("mono/*/*.txt.xz"))
    config = settings.corpus()
    config.sources = (
        *(TextSource(path.name.split(".")[0], path) for path in texts),
        *(ManyWaySource(path, "en") for path in sorted(kit.glob("parallel/*.tsv.xz"))),
    )
    config.evaluation_files = tuple(
        path for pattern in TESTS for path in sorted(kit.glob(pattern))
    )
    config.licenses = _licenses(kit / "MANIFEST.tsv")
    config.row_length = 128
    config.max_pairs = 8
    config.rows_per_shard = 512
    config.max_side_tokens = 62  # two such sides fill a row
    config.cut_long_sides = True
    config.parallel_as_text = True
    config.split_sentences = True
    config.cleaning.exact_duplicates = True
    return config


def _licenses(manifest: Path) -> tuple[tuple[str, str], ...]:
    if not manifest.is_file():
        return ()
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return tuple((row["path"], row["licence"]) for row in rows)
