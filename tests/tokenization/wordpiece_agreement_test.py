"""Ids of mBERT's real vocabulary, compared with another implementation of it.

Bling Fire ships a compiled `bert-base-multilingual-cased`. It ends a word at format
characters (zero-width joiners, soft hyphens), where BERT's own code deletes them; they
are deleted from its input here, so that ours is held to BERT's rule. What still differs
is known too: Bling Fire ignores combining marks that the vocabulary lacks (Arabic
pause marks, decomposed accents), and words longer than 100 characters, where BERT
says [UNK].
"""

import lzma
import unicodedata
from pathlib import Path

import pytest

from amber_jax.tokenization import load_tokenizer

TEST_DATA = Path(__file__).parents[1] / "data"
SENTENCES = 200  # of each language
SMALLEST_AGREEMENT = 0.995


@pytest.fixture(scope="module")
def mbert(tmp_path_factory):
    path = tmp_path_factory.mktemp("mbert") / "vocab.txt"
    packed = (TEST_DATA / "mbert_vocab.txt.xz").read_bytes()
    path.write_bytes(lzma.decompress(packed))
    return load_tokenizer(path)


@pytest.fixture(scope="module")
def oracle():
    blingfire = pytest.importorskip("blingfire")
    folder = Path(blingfire.__file__).parent
    model = blingfire.load_model(str(folder / "bert_multi_cased.bin"))

    def encode(text):
        text = "".join(c for c in text if unicodedata.category(c) != "Cf")
        return blingfire.text_to_ids(model, text, 4096, 100, True).tolist()

    return encode


@pytest.fixture(scope="module")
def ten_languages(mono_files, sentences_of):
    files = [*mono_files, TEST_DATA / "de.txt.xz"]
    return [line for path in files for line in sentences_of(path, SENTENCES)]


def test_ids_agree_with_bling_fire_on_ten_languages(mbert, oracle, ten_languages):
    ids = mbert.encode_batch(ten_languages)
    differ = [
        line
        for line, ours in zip(ten_languages, ids, strict=True)
        if ours != oracle(line)
    ]
    agreement = 1 - len(differ) / len(ten_languages)
    assert len(ten_languages) == 2000
    assert agreement >= SMALLEST_AGREEMENT, differ[:5]


def test_the_real_vocabulary_has_berts_special_ids(mbert):
    assert mbert.vocab_size == 119_547
    assert mbert.special.ids() == (0, 100, 101, 102, 103)
    assert max(mbert.special.ids()) + 1 == 104


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello, naïve world", ["Hello", ",", "na", "##ï", "##ve", "world"]),
        ("北京 is 大", ["北", "京", "is", "大"]),
        ("می\u200cگوید", ["میگوید"]),
        ("“quoted”", ["[UNK]", "quoted", "[UNK]"]),
        ("[MASK]", ["[", "MA", "##S", "##K", "]"]),
    ],
)
def test_golden_pieces_of_the_real_vocabulary(mbert, text, pieces):
    assert mbert.pieces(mbert.encode(text)) == pieces
