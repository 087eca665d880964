"""Stage 2 alone, from the weights of a trained encoder, mBERT's for one.

python launch/convert.py --from=hf:DIR --to=amber:mbert
python launch/build_corpus.py --config=configs/corpus_folder.py:FOLDER \
    --config.tokenizer=mbert/tokenizer --output=corpus
python launch/pretrain.py --config=configs/mbert_continue.py:sa --config.corpus=corpus \
    --config.init_checkpoint=mbert --workdir=DIR

The cheap way to an AMBER, and not the paper's: there stage 1 is one million steps of
8,192 pairs by the authors themselves, without next-sentence prediction as far as is
known, and stage 2 another million; here the start is given and 50,000 steps follow,
with a lower peak rate so that what the start knows is kept. The corpus must be built
with the vocabulary of the given weights; a pooler and a next-sentence head stay behind.
"""

from ml_collections import ConfigDict

from amber_jax import config as settings


def get_config(variant: str = "sa") -> ConfigDict:
    config = settings.pretraining()
    second = settings.stage("aligned")
    second.num_steps = 50_000
    second.monolingual_pairs = 1024
    second.translation_pairs = 1024
    second.peak_learning_rate = 5e-5
    second.warmup_steps = 2_500
    config.stages = (settings.as_variant(second, variant),)
    config.row_multiple = 64
    config.save_every = 5_000
    config.evaluate_every = 5_000
    return config
