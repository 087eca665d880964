"""A tiny AMBER on the sample data: minutes on two CPU cores, the whole code path.

python launch/pretrain.py --config=configs/amber_tiny.py:sa --config.corpus=DIR \
    --workdir=DIR

Variants are the paper's four rows, each adding to the one before: mlm, tlm, wa, sa.
At this size only the sentence loss shows in retrieval: expect `sa` to find more than
half of the 300 held-out translations, and `mlm` a few.

One stage, from random weights: a first stage of masked language modeling alone, as
the paper has it, draws all vectors together, and in so few steps the losses that
follow cannot undo it (docs/small_runs.md has the numbers). No dropout: nothing is seen
often enough to be learned by heart.
"""

from pathlib import Path

from ml_collections import ConfigDict

from amber_jax import config as settings

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"


def get_config(variant: str = "sa") -> ConfigDict:
    config = settings.pretraining()
    config.model.num_layers = 2
    config.model.hidden_size = 128
    config.model.num_heads = 4
    config.model.intermediate_size = 512
    config.model.max_positions = 128
    config.model.hidden_dropout = 0.0
    config.model.attention_dropout = 0.0

    aligned = settings.stage("aligned")
    aligned.num_steps = 400
    aligned.monolingual_pairs = 16
    aligned.translation_pairs = 32
    aligned.peak_learning_rate = 1e-3
    aligned.warmup_steps = 40
    config.stages = (settings.as_variant(aligned, variant),)

    config.log_every = 10
    config.save_every = 100
    config.evaluate_every = 50
    held_out = settings.retrieval("heldout")
    held_out.path = str(SAMPLE / "parallel_eval.tsv.xz")
    config.evaluations = (held_out,)
    return config
