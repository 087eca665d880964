"""The settings of a corpus; what it is made of stands in the experiment's file."""

from ml_collections import ConfigDict, config_dict

from amber_jax.corpora.cleaning.options import Cleaning


def corpus() -> ConfigDict:
    """Returns the settings of `amber build_corpus`, at the paper's row length."""
    config = ConfigDict()
    config.tokenizer = config_dict.placeholder(str)  # folder, *.model or vocab.txt
    config.processes = 0  # workers; 0 takes one for each core
    config.sources = ()  # of `corpora.sources` and `corpora.downloads`
    config.evaluation_files = ()  # no sentence of these gets into a shard
    config.left_files = ()  # no text; listed
    config.licenses = ()  # ("*/news.*", "CC0"), ...: for the data card

    config.row_length = 256  # tokens
    config.max_pairs = 16  # pairs packed into a row
    config.rows_per_shard = 4096
    config.alpha = 0.7  # language rates p ∝ tokens^alpha, as mBERT's
    config.max_side_tokens = 126  # two such sides fill a row
    config.cut_long_sides = (
        False  # True: they lose their end; else the pair is left out
    )
    config.max_length_ratio = 4.0  # of the longer to the shorter side, in tokens
    config.max_line_bytes = 1 << 16
    config.unit_bytes = 1 << 22  # input bytes of a unit of work
    config.parallel_as_text = False  # True: sides of kept pairs are running text too
    config.split_sentences = False  # True: lines of running text are cut into sentences
    config.cleaning = ConfigDict(vars(Cleaning()))  # all off, see docs/data.md
    return config.lock()
