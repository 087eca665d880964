"""Stage 2 from a pretrained encoder: XLM-R, multilingual E5 or MiniLM, LaBSE, mBERT.

python launch/pretrain.py --config=configs/encoder_continue.py:sa --config.corpus=DIR \
    --config.init_checkpoint=DIR --workdir=DIR

`init_checkpoint` is a folder of Hugging Face or sentence-transformers, or a checkpoint;
it decides the model's sizes, and the corpus must be built with its tokenizer. Variants
are the paper's four rows, mlm, tlm, wa, sa. `sa,short` and so on are for two CPU cores
and an hour with all losses: 240 steps of 64 pairs instead of 50,000 of 2,048.

The cheap way to an AMBER, and not the paper's: there stage 1 is one million steps of
8,192 pairs by the authors themselves, without next-sentence prediction as far as is
known, and stage 2 another million; here the start is given and fewer steps follow, with
a lower peak rate so that what the start knows is kept.
"""

from ml_collections import ConfigDict

from amber_jax import config as settings

SHORT = "short"
CHOICES = (*settings.VARIANTS, *(f"{name},{SHORT}" for name in settings.VARIANTS))


def get_config(variant: str = "sa") -> ConfigDict:
    if variant not in CHOICES:
        settings.refuse_variant(variant, CHOICES)
    losses, _, length = variant.partition(",")
    config = settings.pretraining()
    second = settings.stage("aligned")
    second.num_steps = 50_000
    second.monolingual_pairs = 1024
    second.translation_pairs = 1024
    second.peak_learning_rate = 5e-5
    second.warmup_steps = 2_500
    config.row_multiple = 64
    config.save_every = 5_000
    config.evaluate_every = 5_000
    if length == SHORT:
        second.num_steps = 240
        second.monolingual_pairs = 16
        second.translation_pairs = 48
        second.warmup_steps = 40
        config.row_multiple = 1
        config.log_every = 10
        config.save_every = 60
        config.evaluate_every = 0
    config.stages = (settings.as_variant(second, losses),)
    return config
