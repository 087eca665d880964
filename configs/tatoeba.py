"""Sentence retrieval: cosine of mean-pooled vectors, both directions.

python launch/evaluate.py --config=configs/tatoeba.py --checkpoint=DIR --output=DIR

Reads the sample's Tatoeba folder; any Tatoeba v1 folder or many-way .tsv file does:
--config.retrievals[0].path=PATH. XTREME's protocol for models without a sentence
loss is --config.retrievals[0].layer=8 --config.retrievals[0].special_tokens=True.
"""

from pathlib import Path

from ml_collections import ConfigDict

from amber_jax import config as settings

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"


def get_config(arg: str | None = None) -> ConfigDict:
    del arg  # no variants
    config = settings.evaluation()
    tatoeba = settings.retrieval("tatoeba")
    tatoeba.path = str(SAMPLE / "tatoeba")
    config.retrievals = (tatoeba,)
    return config
