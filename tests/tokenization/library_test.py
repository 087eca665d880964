"""A tokenizer.json as it is: the library's ids, roles wherever they stand."""

import json
import shutil

import numpy as np
import pytest
from tokenizers import Tokenizer as RustTokenizer

from amber_jax.errors import UserError
from amber_jax.tokenization import SpecialTokens, load_tokenizer

KINDS = ["xlmr", "uncased", "byte_level"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def folder(kind, tmp_path):
    kind.save(tmp_path / "saved")
    return tmp_path / "saved"


def test_ids_are_the_librarys(kind, folder, text):
    library = RustTokenizer.from_file(str(folder / "tokenizer.json"))
    library.no_truncation()
    library.no_padding()
    batch = library.encode_batch(text, add_special_tokens=False)
    assert kind.encode_batch(text) == [encoding.ids for encoding in batch]


def test_roles_stand_anywhere(xlmr, uncased, byte_level):
    last = xlmr.vocab_size - 1
    assert xlmr.special == SpecialTokens(1, 3, 0, 2, last, separators=2)
    assert uncased.special == SpecialTokens(0, 1, 2, 3, 4)
    assert byte_level.special == SpecialTokens(3, 4, 0, 1, 2, separators=2)
    assert xlmr.pieces(xlmr.special.ids()) == [
        "<pad>",
        "<unk>",
        "<s>",
        "</s>",
        "<mask>",
    ]


def test_random_words_are_no_special_ones(kind):
    words = kind.special.words(kind.vocab_size)
    assert not {*kind.special.ids()} & {*words}
    assert len(words) == kind.vocab_size - 5


def test_bytes_come_back_as_they_came(fairseq_folder, kind, folder, tmp_path):
    content = (folder / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").write_bytes(content + b"\n \n")
    stored = json.loads((folder / "tokenizer_config.json").read_text())
    with pytest.raises(UserError, match="files were changed or mixed"):
        load_tokenizer(folder)
    (folder / "tokenizer.json").write_bytes(content)
    load_tokenizer(folder).save(tmp_path / "again")
    assert (tmp_path / "again" / "tokenizer.json").read_bytes() == content
    assert stored["kind"] == "library"


def test_added_tokens_are_found_in_text(uncased):
    ids = uncased.encode("a covidcovid")
    assert uncased.pieces(ids) == ["a", "covid", "covid"]
    assert ids[-1] == uncased.vocab_size - 1


def test_text_of_another_width_is_no_special_piece(xlmr):
    ids = xlmr.encode("a ＜s＞ ＜mask＞ </s><pad>")
    assert not {*ids} & {*xlmr.special.ids()} - {xlmr.special.unk}


def test_word_starts_of_each_spelling(xlmr, uncased, byte_level):
    for tokenizer in (xlmr, uncased, byte_level):
        ids = tokenizer.encode("the unbelievable hats")
        words = np.cumsum(tokenizer.word_starts(ids))
        spelt = [
            "".join(
                piece.replace("\u2581", "").replace("##", "").replace("\u0120", "")
                for piece, word in zip(tokenizer.pieces(ids), words, strict=True)
                if word == number
            )
            for number in (1, 2, 3)
        ]
        assert spelt == ["the", "unbelievable", "hats"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("special", None),
        ("special", {"pad": 0}),
        ("special.mask", -1),
        ("special.mask", "4"),
        ("special.separators", 10**9),
    ],
)
def test_roles_that_were_changed_are_refused(field, value, folder):
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text())
    *groups, name = field.split(".")
    inner = content[groups[0]] if groups else content
    inner[name] = value
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="special is"):
        load_tokenizer(folder)


def test_a_vocabulary_that_text_could_spell_is_refused(byte_level, tmp_path):
    byte_level.save(tmp_path)
    config = tmp_path / "tokenizer_config.json"
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    content["pre_tokenizer"] = None
    content["model"]["ignore_merges"] = True  # whole texts are looked up
    path.write_text(json.dumps(content))
    config.write_text(
        json.dumps({"mask_token": "<mask>", "pad_token": "<pad>", "unk_token": "<unk>"})
    )
    with pytest.raises(UserError, match="can spell its special pieces"):
        load_tokenizer(tmp_path)


def test_a_missing_file_is_named(folder):
    shutil.move(folder / "tokenizer.json", folder / "other.json")
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        load_tokenizer(folder)
