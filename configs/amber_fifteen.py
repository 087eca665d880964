"""An AMBER of fifteen languages in about an hour on two CPU cores.

python launch/pretrain.py --config=configs/amber_fifteen.py:sa --config.corpus=DIR \
    --workdir=DIR

It reads 16 million tokens; docs/small_runs.md has a corpus of 38 million and a
vocabulary of 24,000, the commands and what came of it. Variants are the paper's four
rows, each adding to the one before: mlm, tlm, wa, sa.

One stage and no dropout, as in configs/amber_tiny.py. The sentence loss is symmetric,
on unit vectors: with 96 candidates it separates translations sooner than the paper's
plain dot product.
"""

from ml_collections import ConfigDict

from amber_jax import config as settings


def get_config(variant: str = "sa") -> ConfigDict:
    config = settings.pretraining()
    config.model.num_layers = 2
    config.model.hidden_size = 192
    config.model.num_heads = 6
    config.model.intermediate_size = 768
    config.model.max_positions = 128
    config.model.hidden_dropout = 0.0
    config.model.attention_dropout = 0.0

    config.sentence_alignment.symmetric = True
    config.sentence_alignment.normalize = True
    config.sentence_alignment.scale = 20.0

    aligned = settings.stage("aligned")
    aligned.num_steps = 3200
    aligned.monolingual_pairs = 32
    aligned.translation_pairs = 96
    aligned.peak_learning_rate = 1e-3
    aligned.warmup_steps = 160
    config.stages = (settings.as_variant(aligned, variant),)

    config.log_every = 10
    config.save_every = 100
    return config
