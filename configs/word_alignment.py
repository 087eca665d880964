"""Word alignment against gold links: precision, recall, F1 and alignment error rate.

python launch/evaluate.py --config=configs/word_alignment.py \
    --checkpoint=DIR --output=DIR --config.data=FOLDER

FOLDER is XL-WA's, with LANGUAGE/test.tsv in it. Other files: --config.test=PATTERN,
and --config.gold=PATTERN where the links are in Pharaoh files of their own.
"""

from ml_collections import ConfigDict

from amber_jax import config as settings


def get_config(arg: str | None = None) -> ConfigDict:
    del arg  # no variants
    return settings.word_alignment_evaluation()
