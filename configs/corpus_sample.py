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

from ml_collections import ConfigDict, config_dict

from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.sources import ManyWaySource, TextSource

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample"


def get_config(arg: str | None = None) -> ConfigDict:
    del arg  # no variants
    config = ConfigDict()
    config.tokenizer = config_dict.placeholder(str)  # folder, *.model or vocab.txt
    config.processes = 0  # workers; 0 takes one for each core

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
    config.max_pairs = 8  # pairs packed into a row
    config.rows_per_shard = 64
    config.alpha = 0.7  # language rates p ∝ tokens^alpha
    config.max_side_tokens = 30  # of a pair
    config.cut_long_sides = True  # they lose their end; False: the pair is left out
    config.max_length_ratio = 4.0  # of the longer to the shorter side, in tokens
    config.max_line_bytes = 1 << 16
    config.unit_bytes = 1 << 20  # input bytes of a unit of work
    config.parallel_as_text = True  # sides of kept pairs are monolingual text too
    config.split_sentences = False  # lines of running text are cut into sentences
    config.cleaning = ConfigDict(vars(Cleaning()))  # all off, see docs/data.md
    return config.lock()
