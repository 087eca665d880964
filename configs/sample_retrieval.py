"""Retrieval on the sample's unseen rows and its Tatoeba rows, as the demo does it.

python launch/evaluate.py --config=configs/sample_retrieval.py:centered \
    --checkpoint=DIR --output=DIR

Variants: `plain`, and `centered`, which adds both sets once more with each side's mean
vector subtracted: a model without a sentence loss puts all its vectors into one narrow
cone, and is fairly judged only without that cone's direction.
"""

from pathlib import Path

from ml_collections import ConfigDict

from amber_jax import config as settings

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"
VARIANTS = ("plain", "centered")
PATHS = {"heldout": "parallel_eval.tsv.xz", "tatoeba": "tatoeba"}


def get_config(variant: str = "plain") -> ConfigDict:
    if variant not in VARIANTS:
        settings.refuse_variant(variant, VARIANTS)
    config = settings.evaluation()
    retrievals = []
    for centered in (False, True) if variant == "centered" else (False,):
        for name, path in PATHS.items():
            retrieval = settings.retrieval(name)
            retrieval.path = str(SAMPLE / path)
            retrieval.center = centered
            retrievals.append(retrieval)
    config.retrievals = tuple(retrievals)
    return config
