"""The corpus of a folder of your own text, at the paper's row length.

python launch/build_corpus.py --config=configs/corpus_folder.py:FOLDER \
    --config.tokenizer=DIR --output=DIR

What is read, each plain or as .gz, .bz2 or .xz:

    FOLDER/mono/fr.txt                      one sentence or paragraph a line
    FOLDER/parallel/en-fr.tsv               two columns
    FOLDER/parallel/memory.en-fr.tmx        translation memories
    FOLDER/parallel/MultiUN.en-fr.en, .fr   Moses pairs, as OPUS names them
    FOLDER/held_out/*                       sentences that no shard may hold
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ml_collections import ConfigDict, config_dict

from amber_jax.corpora.sources import (
    MosesSource,
    Source,
    TextSource,
    TmxSource,
    TsvSource,
)
from amber_jax.errors import UserError

_COMPRESSED = r"(\.gz|\.bz2|\.xz)?$"
_PAIR = re.compile(r"(?:.*\.)?([a-z]{2,3})-([a-z]{2,3})\.(tsv|tmx|\1)" + _COMPRESSED)
_SECOND_SIDE = re.compile(r"(?:.*\.)?[a-z]{2,3}-([a-z]{2,3})\.\1" + _COMPRESSED)
_TEXT = re.compile(r"([a-z]{2,3})\.txt" + _COMPRESSED)


def _sources(folder: Path) -> Iterator[Source]:
    for path in sorted((folder / "mono").glob("*")):
        if not (found := _TEXT.match(path.name)):
            raise UserError(f"{path}: wanted a name like fr.txt or fr.txt.gz in mono/")
        yield TextSource(found[1], path)
    for path in sorted((folder / "parallel").glob("*")):
        if _SECOND_SIDE.match(path.name):
            continue  # read with the first
        if not (found := _PAIR.match(path.name)):
            raise UserError(
                f"{path}: wanted a name like en-fr.tsv, x.en-fr.tmx or x.en-fr.en and "
                "x.en-fr.fr in parallel/"
            )
        src, tgt, kind = found[1], found[2], found[3]
        if kind == "tsv":
            yield TsvSource(src, tgt, path)
        elif kind == "tmx":
            yield TmxSource(src, tgt, path)
        else:
            suffix = found[4] or ""
            stem = path.name.removesuffix(f".{src}{suffix}")
            yield MosesSource(src, tgt, path, path.with_name(f"{stem}.{tgt}{suffix}"))


def get_config(folder: str = "text") -> ConfigDict:
    config = ConfigDict()
    config.tokenizer = config_dict.placeholder(str)  # folder, *.model or vocab.txt
    config.processes = 0  # workers; 0 takes one for each core
    config.sources = tuple(_sources(Path(folder)))
    config.evaluation_files = tuple(sorted((Path(folder) / "held_out").glob("*")))

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
    return config.lock()
