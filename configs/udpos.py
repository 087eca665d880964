"""Part-of-speech tags, trained on English treebanks, tested in the paper's languages.

python launch/finetune.py --config=configs/udpos.py --config.data=DIR \
    --checkpoint=DIR --workdir=DIR

DIR holds XTREME's files, plain or compressed: train-en.tsv, dev-en.tsv, test-XX.tsv
with tags (XTREME's download has none in its tests). Variant `treebanks` reads a folder
of Universal Dependencies instead, all treebanks of a language together and multi-word
tokens as XTREME has them.
"""

from ml_collections import ConfigDict

from amber_jax import config as settings


def get_config(variant: str = "xtreme") -> ConfigDict:
    config = settings.finetuning("udpos")
    config.seeds = (1,)  # XTREME's
    config.num_epochs = 10
    config.evaluate_every = 500  # XTREME's
    if variant == "treebanks":
        config.train = "UD_*/{language}_*-ud-train*.conllu*"
        config.dev = "UD_*/{language}_*-ud-dev.conllu*"
        config.test = "UD_*/{language}_*-ud-test.conllu*"
    elif variant != "xtreme":
        settings.refuse_variant(variant, ("xtreme", "treebanks"))
    return config
