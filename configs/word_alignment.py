"""Word alignment against gold links: precision, recall, F1 and alignment error rate.

python launch/evaluate.py --config=configs/word_alignment.py \
    --checkpoint=DIR --output=DIR --config.data=FOLDER

FOLDER is XL-WA's, with LANGUAGE/test.tsv in it. Other files: --config.test=PATTERN,
and --config.gold=PATTERN where the links are in Pharaoh files of their own.
Variants:

    deep             for encoders of 12 layers or more: centered vectors, and a share of
                     the neighboring pieces' similarities; --config.dev=PATTERN chooses
                     the layer
    awesome_align    awesome-align's links, with its layer and threshold
    simalign         SimAlign's "inter", with its layer
    itermax          SimAlign's "itermax", with its layer
"""

from ml_collections import ConfigDict

from amber_jax import config as settings

VARIANTS = {
    "plain": {},
    "deep": {"center": True, "context": 0.1},
    "awesome_align": {"layer": 8, "level": "piece", "threshold": 1e-3},
    "simalign": {"layer": 8, "level": "piece", "similarity": "cosine"},
    "itermax": {"layer": 8, "similarity": "cosine", "symmetrization": "itermax"},
}


def get_config(variant: str = "plain") -> ConfigDict:
    if variant not in VARIANTS:
        settings.refuse_variant(variant, tuple(VARIANTS))
    config = settings.word_alignment_evaluation()
    config.update(VARIANTS[variant])
    return config
