"""The corpus of a folder of your own text, at the paper's row length.

python launch/build_corpus.py --config=configs/corpus_folder.py:FOLDER \
    --config.tokenizer=DIR --output=DIR

What is read, for instance; `amber_jax/corpora/folder.py` names all:

    FOLDER/mono/fr.txt, news.fr.txt.gz      one sentence or paragraph a line
    FOLDER/mono/frwiki-20240101-pages-articles.xml.bz2
    FOLDER/mono/news.fr.jsonl, .parquet     a field "text"
    FOLDER/parallel/en-fr.tsv               two columns
    FOLDER/parallel/memory.en-fr.tmx        translation memories
    FOLDER/parallel/MultiUN.en-fr.txt.zip   OPUS' archives; unpacked: .en-fr.en, .fr
    FOLDER/parallel/ntrex.tsv               header key<TAB>en<TAB>fr..., many languages
    FOLDER/held_out/*                       sentences that no shard may hold

Text may be plain or end in .gz, .bz2, .xz or .zst. A language code may have subtags
after `_`, as zh_CN and sr_Latn have. FOLDER:en,fr,ar takes these languages only. What
is no text, as README and LICENSE, is left and listed.
"""

from ml_collections import ConfigDict, config_dict

from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.folder import folder_sources, named_folder


def get_config(text: str = "text") -> ConfigDict:
    config = ConfigDict()
    config.tokenizer = config_dict.placeholder(str)  # folder, *.model or vocab.txt
    config.processes = 0  # workers; 0 takes one for each core
    content = folder_sources(*named_folder(text))
    config.sources, config.evaluation_files, config.left_files = content

    config.row_length = 256  # tokens
    config.max_pairs = 16  # pairs packed into a row
    config.rows_per_shard = 4096
    config.alpha = 0.7  # language rates p ∝ tokens^alpha, as mBERT's
    config.max_side_tokens = 126  # two such sides fill a row
    config.cut_long_sides = False  # a pair with a longer side is left out
    config.max_length_ratio = 4.0  # of the longer to the shorter side, in tokens
    config.max_line_bytes = 1 << 16
    config.unit_bytes = 1 << 22  # input bytes of a unit of work
    config.parallel_as_text = False  # sides of kept pairs are no text of their own
    config.split_sentences = False  # lines of running text are cut into sentences
    config.cleaning = ConfigDict(vars(Cleaning()))  # all off, see docs/data.md
    return config.lock()
