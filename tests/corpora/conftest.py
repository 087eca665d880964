"""What a corpus is built of: a readable toy of a tokenizer, texts, a recipe."""

import gzip
import zlib
from pathlib import Path

import pytest

from amber_jax.corpora.recipe import Recipe
from amber_jax.corpora.sources import ManyWaySource, TextSource
from amber_jax.corpora.text import read_lines, read_many_way
from amber_jax.corpora.unit_rows import BuildOptions
from amber_jax.tokenization import SpecialTokens

OPTIONS = BuildOptions(
    row_length=128,
    max_pairs=8,
    rows_per_shard=4,
    alpha=0.7,
    max_side_tokens=62,
    cut_long_sides=False,
    max_length_ratio=4.0,
    max_line_bytes=1 << 16,
    unit_bytes=1 << 15,
    parallel_as_text=True,
)
SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"


class WordTokenizer:
    """One token per word; `#7` becomes id 7, so that golden rows can be read."""

    special = SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)
    vocab_size = 1000
    fingerprint = "words"

    def encode(self, text):
        return [self._id(word) for word in text.split()]

    def encode_batch(self, texts):
        return [self.encode(text) for text in texts]

    def _id(self, word):
        if word.startswith("#") and word[1:].isdigit():
            return int(word[1:])
        return 5 + zlib.crc32(word.encode()) % (self.vocab_size - 5)


@pytest.fixture
def words():
    return WordTokenizer()


@pytest.fixture(scope="session")
def sample():
    return SAMPLE


@pytest.fixture(scope="session")
def texts(sample, tmp_path_factory):
    """400 lines of English text and 200 rows of en, fr, hi, in five formats."""
    folder = tmp_path_factory.mktemp("texts")
    lines = list(read_lines(sample / "mono" / "en.txt.xz"))[:400]
    (folder / "en.txt.gz").write_bytes(gzip.compress(b"\n".join(lines)))
    _, rows = read_many_way(sample / "parallel_train.tsv.xz")
    rows = [row for row in list(rows)[-400:] if {"en", "fr", "hi"} <= {*row}][:200]
    en, fr, hi = ([row[code] for row in rows] for code in ("en", "fr", "hi"))
    (folder / "en-fr.en").write_text("".join(f"{x}\n" for x in en))
    (folder / "en-fr.fr").write_text("".join(f"{x}\r\n" for x in fr))
    both = zip(en, hi, strict=True)
    (folder / "en-hi.tsv").write_text("".join(f"{x}\t{y}\n" for x, y in both))
    units = "".join(
        f'<tu><tuv xml:lang="en-GB"><seg><![CDATA[{x}]]></seg></tuv>'
        f'<tuv xml:lang="hi"><seg><![CDATA[{y}]]></seg></tuv></tu>'
        for x, y in zip(en, hi, strict=True)
    )
    (folder / "en-hi.tmx").write_text(f"<tmx><body>{units}</body></tmx>")
    table = "".join(f"{x}\t{y}\t{z}\n" for x, y, z in zip(en, fr, hi, strict=True))
    (folder / "all.tsv").write_text("en\tfr\thi\n" + table)
    return folder


@pytest.fixture
def recipe(texts, tokenizer_folder):
    return Recipe(
        sources=(
            TextSource("en", texts / "en.txt.gz"),
            ManyWaySource(texts / "all.tsv"),
        ),
        evaluation_files=(),
        tokenizer=tokenizer_folder,
        options=OPTIONS,
    )
