"""Sentence retrieval: cosine of mean-pooled vectors, both directions.

python launch/evaluate.py --config=configs/tatoeba.py --checkpoint=DIR --output=DIR

Variants: `amber`, the last layer without [CLS] and [SEP], which is what a sentence loss
trains; and `xtreme`, XTREME's protocol for mBERT: layer 8 of 12, [CLS] and [SEP] in the
mean. Both write XTREME's predictions beside the scores.

Reads the sample's Tatoeba folder; any Tatoeba v1 folder or many-way .tsv file does:
--config.retrievals[0].path=PATH. Of other ways to look for translations, see
`retrieval` in amber_jax/config/evaluation.py: --config.retrievals[0].similarity=csls,
--config.retrievals[0].layer_curve=True.
"""

from pathlib import Path

from ml_collections import ConfigDict

from amber_jax import config as settings

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"
VARIANTS = ("amber", "xtreme")


def get_config(variant: str = "amber") -> ConfigDict:
    if variant not in VARIANTS:
        settings.refuse_variant(variant, VARIANTS)
    config = settings.evaluation()
    tatoeba = settings.retrieval("tatoeba")
    tatoeba.path = str(SAMPLE / "tatoeba")
    tatoeba.predictions = True
    if variant == "xtreme":
        # Source: google-research/xtreme, scripts/run_tatoeba.sh: `specific_layer` 7
        # counts from 0 behind the embeddings.
        tatoeba.layer = 8
        tatoeba.special_tokens = True
        tatoeba.max_length = 512
        tatoeba.batch_size = 16
    config.retrievals = (tatoeba,)
    return config
