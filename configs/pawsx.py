"""PAWS-X: is it a paraphrase? Trained on English, tested in the paper's 5 languages.

python launch/finetune.py --config=configs/pawsx.py --config.data=DIR \
    --checkpoint=DIR --workdir=DIR

DIR holds XTREME's files, plain or compressed: train-en.tsv, dev-en.tsv and test-XX.tsv
with labels; the original layout is `original` (XX/translated_train.tsv and so on).
`dev_en` stands in where the 49,401 training pairs are not to be had: it trains on
nine tenths of the English dev set and chooses by the last tenth. Its tests may lie in
folders, XX/test_2k.tsv, as in the original.
"""

from ml_collections import ConfigDict

from amber_jax import config as settings


def get_config(variant: str = "xtreme") -> ConfigDict:
    config = settings.finetuning("pawsx")
    config.seeds = (42,)  # XTREME's
    config.evaluate_every = 200  # XTREME's
    if variant == "original":
        config.train, config.dev = "{language}/train.tsv*", "{language}/dev_2k.tsv*"
        config.test = "{language}/test_2k.tsv*"
    elif variant == "dev_en":
        config.train, config.dev = config.dev, ""
        config.test = "{language}/test_2k*.tsv*"
        config.stand_in = "PAWS-X's English dev set, instead of its 49,401 pairs"
        config.num_epochs = 10
    elif variant != "xtreme":
        settings.refuse_variant(variant, ("xtreme", "original", "dev_en"))
    return config
