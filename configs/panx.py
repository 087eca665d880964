"""Named entities in Wikipedia, trained on English, tested in XTREME's 40 languages.

python launch/finetune.py --config=configs/panx.py --config.data=DIR \
    --checkpoint=DIR --workdir=DIR

DIR holds XTREME's files, plain or compressed: train-en.tsv, dev-en.tsv, test-XX.tsv
with tags (XTREME's preparation takes them out of its tests). Variant `original` reads
the folders of the data set itself, XX/train, XX/dev and XX/test.
"""

from ml_collections import ConfigDict

from amber_jax import config as settings


def get_config(variant: str = "xtreme") -> ConfigDict:
    config = settings.finetuning("panx")
    config.seeds = (1,)  # XTREME's
    config.num_epochs = 10
    config.evaluate_every = 1000  # XTREME's
    if variant == "original":
        config.train, config.dev = "{language}/train*", "{language}/dev*"
        config.test = "{language}/test*"
    elif variant != "xtreme":
        settings.refuse_variant(variant, ("xtreme", "original"))
    return config
