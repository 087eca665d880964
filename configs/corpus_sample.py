"""The corpus of the sample text in data/sample, built in seconds.

    python launch/build_corpus.py --config=configs/corpus_sample.py \
        --config.tokenizer=DIR --output=DIR

A copy with other sources is the config of your own corpus. Next to the two kinds of
source used here there are, in the same module,

    MosesSource("en", "fr", Path("news.en.gz"), Path("news.fr.gz"))
    TsvSource("en", "fr", Path("news.en-fr.tsv.xz"))
    TmxSource("en", "fr", Path("memory.tmx"))
"""

from pathlib import Path

from ml_collections import ConfigDict

from amber_jax import config as settings
from amber_jax.corpora.sources import ManyWaySource, TextSource

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample"


def get_config(arg: str | None = None) -> ConfigDict:
    del arg  # no variants
    config = settings.corpus()
    texts = sorted((SAMPLE / "mono").glob("*.txt.xz"))
    config.sources = (
        *(TextSource(path.name.split(".")[0], path) for path in texts),
        ManyWaySource(SAMPLE / "parallel_train.tsv.xz", pivot="en"),
    )
    config.evaluation_files = (  # no sentence of these gets into a shard
        SAMPLE / "parallel_eval.tsv.xz",
        *sorted((SAMPLE / "tatoeba").glob("tatoeba.*")),
    )

    config.row_length = 128  # tokens
    config.max_pairs = 8
    config.rows_per_shard = 64
    config.max_side_tokens = 30
    config.cut_long_sides = True
    config.unit_bytes = 1 << 20
    config.parallel_as_text = True
    return config
