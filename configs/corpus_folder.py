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

from ml_collections import ConfigDict

from amber_jax import config as settings
from amber_jax.corpora.folder import folder_sources, named_folder


def get_config(text: str = "text") -> ConfigDict:
    config = settings.corpus()
    content = folder_sources(*named_folder(text))
    config.sources, config.evaluation_files, config.left_files = content
    return config
