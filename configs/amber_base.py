"""AMBER at the size and schedule of the paper.

The paper prints 172M parameters; with mBERT's 119,547 entries we count 177,974,523.

python launch/pretrain.py --config=configs/amber_base.py:sa --config.corpus=DIR \
    --config.backend=jit --config.model.dtype=bfloat16 --workdir=DIR

Variants are the paper's four rows, each adding to the one before: mlm, tlm, wa, sa.
Marks as in amber_jax/config/pretraining.py; what is neither [paper] nor [BERT] is our
choice, because the paper does not say. The corpus decides row length and language
rates: configs/corpus_folder.py packs rows of 256 tokens at exponent 0.7.
"""

from ml_collections import ConfigDict

from amber_jax import config as settings


def get_config(variant: str = "sa") -> ConfigDict:
    config = settings.pretraining()
    first = settings.stage("monolingual")
    first.num_steps = 1_000_000  # [paper]
    first.monolingual_pairs = 8192  # [paper]

    second = settings.stage("aligned")
    second.num_steps = 1_000_000  # [paper]
    # 2,048 sentence pairs, of Wikipedia and of translations [paper]; half of each is
    # our choice, for the paper does not give the mixture.
    second.monolingual_pairs = 1024
    second.translation_pairs = 1024
    config.stages = (first, settings.as_variant(second, variant))
    config.row_multiple = 64  # any device count that divides 64 gives the same batches
    return config
