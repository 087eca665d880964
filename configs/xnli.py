"""XNLI: natural-language inference, trained on English, tested in 15 languages.

python launch/finetune.py --config=configs/xnli.py --config.data=DIR \
    --checkpoint=DIR --workdir=DIR

DIR holds XTREME's files, plain or compressed: train-en.tsv (MultiNLI), dev-en.tsv and
test-XX.tsv with labels. Variants stand in for MultiNLI where it is not to be had:
`dev_en` trains on nine tenths of XNLI's own English dev set and chooses by the last
tenth, `sick` trains on SICK (--config.train=PATH below DIR). Expect little of them.
"""

from ml_collections import ConfigDict

from amber_jax import config as settings


def get_config(variant: str = "xtreme") -> ConfigDict:
    config = settings.finetuning("xnli")
    config.seeds = (42,)  # XTREME's
    config.evaluate_every = 100  # XTREME's
    if variant == "dev_en":
        config.train, config.dev = config.dev, ""
        config.stand_in = "XNLI's English dev set, instead of MultiNLI"
        config.num_epochs = 10
    elif variant == "sick":
        config.train = "SICK_train.txt*"
        config.stand_in = "SICK, 4,500 pairs, instead of MultiNLI"
        config.num_epochs = 10
    elif variant != "xtreme":
        settings.refuse_variant(variant, ("xtreme", "dev_en", "sick"))
    return config
