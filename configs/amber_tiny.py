"""A tiny AMBER on the sample data: minutes on two CPU cores, the whole code path.

python launch/pretrain.py --config=configs/amber_tiny.py:sa --config.corpus=DIR \
    --workdir=DIR

Variants are the paper's four rows, each adding to the one before: mlm, tlm, wa, sa.
At this size only the sentence loss shows in retrieval; expect about half of the
held-out sentences to find their translation among 300 (`sa`), and a few (`mlm`).
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

    first = settings.stage("monolingual")
    first.num_steps = 100
    first.monolingual_pairs = 64
    second = settings.stage("aligned")
    second.num_steps = 600
    second.monolingual_pairs = 16
    second.translation_pairs = 48
    for one in (first, second):
        one.peak_learning_rate = 1e-3
        one.warmup_steps = one.num_steps // 10
    config.stages = (first, settings.as_variant(second, variant))

    config.log_every = 10
    config.save_every = 200
    config.evaluate_every = 100
    held_out = settings.retrieval("heldout")
    held_out.path = str(SAMPLE / "parallel_eval.tsv.xz")
    config.evaluations = (held_out,)
    return config
