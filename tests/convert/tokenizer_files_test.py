"""Tokenizers out and in: equal ids in the library they are for, and what is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as LibraryTokenizer

from amber_jax.convert import tokenizer_files
from amber_jax.convert.unigram import library_unigram
from amber_jax.errors import UserError
from amber_jax.tokenization import sentencepiece
from amber_jax.tokenization.tokenizer import SPECIAL_PIECES

TEXTS = [
    *("", " ", "The cats sat.", "Un chat, 猫坐", "12 words and числа", "a  b \t c\n"),
    *("ａｂｃ", "cafe\u0301", "\ufeffBOM", "a\u2581b", "ꙮꙮ x ꙮ", "<0x41>", "مَدَّ"),
    *("न\u093c े", "Tie\u0302\u0301ng", "か\u3099", "\x07"),
]


@pytest.fixture(params=["wordpiece", "unigram", "without_bytes"])
def tokenizer(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def folder(tokenizer, tmp_path):
    tokenizer_files.write(tmp_path, tokenizer, max_positions=77)
    return tmp_path


def library_of(folder):
    return LibraryTokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("text", TEXTS)
def test_the_library_gives_equal_ids(text, tokenizer, folder):
    found = library_of(folder).encode(text, add_special_tokens=False)
    assert found.ids == tokenizer.encode(text)


@pytest.fixture(scope="module")
def library(unigram, tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    unigram.save(folder)
    return library_unigram((folder / sentencepiece.MODEL_FILE).read_bytes())


@settings(max_examples=50, deadline=None)
@given(text=st.text(st.sampled_from("012 words числа شيء\u0651\u064eé"), max_size=40))
def test_text_of_known_letters_gets_equal_ids(unigram, library, text):
    wanted, found = unigram.encode(text), library.encode(text).ids
    assert sorted(found) == sorted(wanted)  # of equal cost in another order, at most


def test_pairs_get_special_tokens_and_segments(tokenizer, folder):
    found = library_of(folder).encode("The cat", "sat.")
    special = tokenizer.special
    x, y = tokenizer.encode("The cat"), tokenizer.encode("sat.")
    assert found.ids == [special.cls, *x, special.sep, *y, special.sep]
    assert found.type_ids == [0] * (len(x) + 2) + [1] * (len(y) + 1)


def test_special_names_are_special_tokens_there(tokenizer, folder):
    found = library_of(folder).encode("[MASK]", add_special_tokens=False)
    assert found.ids == [tokenizer.special.mask]
    assert found.ids != tokenizer.encode("[MASK]")


def test_the_settings_say_what_it_is(tokenizer, folder):
    found = json.loads((folder / "tokenizer_config.json").read_text())
    kind = type(tokenizer).__name__
    classes = {
        "WordPieceTokenizer": "BertTokenizer",
        "SentencePieceTokenizer": "PreTrainedTokenizerFast",
    }
    assert found["tokenizer_class"] == classes[kind]
    assert found["model_max_length"] == 77
    assert found["mask_token"] == "[MASK]"
    assert "fingerprint" not in found


def test_both_kinds_come_back_bit_equal(tokenizer, folder):
    back = tokenizer_files.read(folder, vocab_size=tokenizer.vocab_size)
    assert back.fingerprint == tokenizer.fingerprint


def test_a_wordpiece_is_read_from_its_tokenizer_json_alone(wordpiece, tmp_path):
    tokenizer_files.write(tmp_path, wordpiece, max_positions=9)
    (tmp_path / "vocab.txt").unlink()
    back = tokenizer_files.read(tmp_path, vocab_size=99)
    assert back.fingerprint == wordpiece.fingerprint


def test_a_unigram_without_its_model_file_is_refused(unigram, tmp_path):
    tokenizer_files.write(tmp_path, unigram, max_positions=9)
    (tmp_path / "sentencepiece.model").unlink()
    with pytest.raises(UserError, match="holds no WordPiece vocabulary"):
        tokenizer_files.read(tmp_path, vocab_size=9999)


def test_more_entries_than_the_model_has_are_refused(tokenizer, folder):
    size = tokenizer.vocab_size
    with pytest.raises(UserError, match=f"has {size} entries, the model {size - 1}"):
        tokenizer_files.read(folder, vocab_size=size - 1)


@pytest.mark.parametrize(
    ("file", "field", "value"),
    [
        ("tokenizer_config.json", "do_lower_case", True),
        ("tokenizer_config.json", "strip_accents", True),
        ("tokenizer_config.json", "tokenize_chinese_chars", False),
        ("tokenizer.json", "lowercase", True),
        ("tokenizer.json", "handle_chinese_chars", False),
    ],
)
def test_uncased_tokenizers_are_refused(file, field, value, wordpiece, tmp_path):
    tokenizer_files.write(tmp_path, wordpiece, max_positions=9)
    content = json.loads((tmp_path / file).read_text("utf-8"))
    (content["normalizer"] if file == "tokenizer.json" else content)[field] = value
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"{field} is {value}; only cased"):
        tokenizer_files.read(tmp_path, vocab_size=99)


@pytest.mark.parametrize(
    "vocab", [{"[PAD]": 0, "a": 0}, {"a": 1}, {"a": "0"}, {"a": None}, {}, [], None]
)
def test_a_vocabulary_without_proper_ids_is_refused(vocab, wordpiece, tmp_path):
    tokenizer_files.write(tmp_path, wordpiece, max_positions=9)
    (tmp_path / "vocab.txt").unlink()
    content = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    content["model"]["vocab"] = vocab
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"tokenizer\.json: "):
        tokenizer_files.read(tmp_path, vocab_size=99)


def test_a_bpe_model_has_no_tokenizer_json(tmp_path):
    import sentencepiece as library

    pad, unk, cls, sep, mask = SPECIAL_PIECES
    library.SentencePieceTrainer.train(
        sentence_iterator=iter([f"{n} words of text" for n in range(99)]),
        model_prefix=str(tmp_path / "bpe"),
        model_type="bpe",
        vocab_size=60,
        minloglevel=2,
        **{"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3, "pad_piece": pad},
        **{"unk_piece": unk, "bos_piece": cls, "eos_piece": sep},
        control_symbols=[mask],
    )
    bpe = sentencepiece.load(tmp_path / "bpe.model")
    with pytest.raises(UserError, match="not a plain unigram one"):
        tokenizer_files.write(tmp_path, bpe, max_positions=9)
