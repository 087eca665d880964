"""Sentence retrieval: cosine of mean-pooled vectors, both directions.

python launch/evaluate.py --config=configs/tatoeba.py --checkpoint=DIR --output=DIR

The default reads the sample's Tatoeba folder; any Tatoeba v1 folder or many-way .tsv
file does: --config.retrieval.path=PATH. XTREME's protocol for models without a
sentence loss is --config.retrieval.layer=8 --config.retrieval.special_tokens=True.
"""

from pathlib import Path

from ml_collections import ConfigDict

from amber_jax import config as settings

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"


def get_config(arg: str = "tatoeba") -> ConfigDict:
    """`arg` chooses the sentences: `tatoeba` or `heldout`."""
    config = ConfigDict()
    config.label = ""  # name of the model in tables; empty: its path
    config.untrained = False  # score the weights that training began with
    config.retrieval = settings.retrieval(arg)
    names = {"tatoeba": "tatoeba", "heldout": "parallel_eval.tsv.xz"}
    config.retrieval.path = str(SAMPLE / names[arg])
    return config.lock()
