"""Tokenizers out and in: equal ids in the library they are for, and what is refused."""

import itertools
import json
import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as LibraryTokenizer

from amber_jax.convert import tokenizer_files
from amber_jax.errors import UserError
from amber_jax.tokenization import sentencepiece
from amber_jax.tokenization.tokenizer import SPECIAL_PIECES
from amber_jax.tokenization.unigram import library_unigram

XLM_R = Path(__file__).parents[1] / "data" / "convert" / "xlmr_tiny"
SPECIAL_ADDED = {
    **{"single_word": False, "lstrip": False, "rstrip": False},
    **{"normalized": False, "special": False},
}
TEXTS = [
    *("", " ", "The cats sat.", "Un chat, 猫坐", "12 words and числа", "a  b \t c\n"),
    *("ａｂｃ", "cafe\u0301", "\ufeffBOM", "a\u2581b", "ꙮꙮ x ꙮ", "<0x41>", "مَدَّ"),
    *("न\u093c े", "Tie\u0302\u0301ng", "か\u3099", "\x07"),
    # Tone marks on decomposed letters that have no composed form with them.
    "O\u0323\u0300re\u0323\u0301 mi, e\u0323\u0300ko\u0323\u0301 da\u0301ra",
    *("e\u0307\u0301jimas u\u0304\u0301kis", "i\u0323\u0300hu\u0323\u0301na\u0301nya"),
    *("и\u0306\u0301", "ﬁ\u0301", "½\u0301\u0300", " \u0301", "\ufffd\u0301", "ﾊﾞﾎﾟ"),
]
# Letters, composed and of compatibility, and marks of several combining classes.
LETTERS = "aoeiuṢọêñʔийاनかﬁ½ᵃⅣ①ﾊ"
MARKS = "\u0300\u0301\u0302\u0304\u0306\u0307\u0323\u0327\u0330\u0651\u093c\u20d0"


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
    encoding = library_of(folder).encode(text, add_special_tokens=False)
    assert encoding.ids == tokenizer.encode(text)


@pytest.fixture(scope="module")
def library(unigram, tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    unigram.save(folder)
    return library_unigram((folder / sentencepiece.MODEL_FILE).read_bytes())


def test_no_mark_is_lost(unigram, library):
    for letter, first, second in itertools.product(LETTERS, MARKS, MARKS):
        text = f"x{letter}{first}{second}x"
        wanted, normalized = (
            unigram.normalize(text),
            library.normalizer.normalize_str(text),
        )
        assert nfc(normalized) == nfc(wanted), ascii(text)


def nfc(text):
    return unicodedata.normalize("NFC", text)


@settings(max_examples=50)
@given(text=st.text(st.sampled_from("012 words числа شيء\u0651\u064eé"), max_size=40))
def test_text_of_known_letters_gets_equal_ids(unigram, library, text):
    wanted, ids = unigram.encode(text), library.encode(text).ids
    assert sorted(ids) == sorted(wanted)  # of equal cost in another order, at most


def test_pairs_get_special_tokens_and_segments(tokenizer, folder):
    encoding = library_of(folder).encode("The cat", "sat.")
    special = tokenizer.special
    x, y = tokenizer.encode("The cat"), tokenizer.encode("sat.")
    assert encoding.ids == [special.cls, *x, special.sep, *y, special.sep]
    assert encoding.type_ids == [0] * (len(x) + 2) + [1] * (len(y) + 1)


def test_special_names_are_special_tokens_there(tokenizer, folder):
    encoding = library_of(folder).encode("[MASK]", add_special_tokens=False)
    assert encoding.ids == [tokenizer.special.mask]
    assert encoding.ids != tokenizer.encode("[MASK]")


def test_the_settings_say_what_it_is(tokenizer, folder):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    kind = type(tokenizer).__name__
    classes = {
        "WordPieceTokenizer": "BertTokenizer",
        "SentencePieceTokenizer": "PreTrainedTokenizerFast",
    }
    assert config["tokenizer_class"] == classes[kind]
    assert config["model_max_length"] == 77
    assert config["mask_token"] == "[MASK]"
    assert "fingerprint" not in config


def test_both_kinds_come_back_bit_equal(tokenizer, folder):
    back = tokenizer_files.read(folder, vocab_size=tokenizer.vocab_size)
    assert back.fingerprint == tokenizer.fingerprint


def test_a_wordpiece_is_read_from_its_tokenizer_json_alone(wordpiece, tmp_path):
    tokenizer_files.write(tmp_path, wordpiece, max_positions=9)
    (tmp_path / "vocab.txt").unlink()
    back = tokenizer_files.read(tmp_path, vocab_size=99)
    assert back.fingerprint == wordpiece.fingerprint


def test_a_unigram_without_its_model_file_is_read_from_its_tokenizer_json(
    unigram, tmp_path
):
    tokenizer_files.write(tmp_path, unigram, max_positions=9)
    (tmp_path / "sentencepiece.model").unlink()
    back = tokenizer_files.read(tmp_path, vocab_size=9999)
    assert back.special == unigram.special
    assert back.encode_batch(TEXTS) == unigram.encode_batch(TEXTS)


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
        ("tokenizer_config.json", "do_basic_tokenize", False),
        ("tokenizer_config.json", "clean_text", False),
        ("tokenizer_config.json", "never_split", ["A B"]),
        ("tokenizer_config.json", "word_tokenizer_type", "mecab"),
        ("tokenizer_config.json", "subword_tokenizer_type", "character"),
        ("tokenizer_config.json", "tokenizer_class", "BertJapaneseTokenizer"),
        ("tokenizer_config.json", "auto_map", {"AutoTokenizer": ["own.Own", None]}),
        ("tokenizer_config.json", "mask_token", {"content": "<mask>"}),
        ("special_tokens_map.json", "cls_token", "<s>"),
        ("config.json", "tokenizer_class", "BertJapaneseTokenizer"),
    ],
)
@pytest.mark.parametrize("with_library_file", [True, False])
def test_programs_that_no_tokenizer_json_has_are_refused(
    file, field, value, with_library_file, wordpiece, tmp_path
):
    tokenizer_files.write(tmp_path, wordpiece, max_positions=9)
    if not with_library_file:
        (tmp_path / "tokenizer.json").unlink()
    change(tmp_path / file, field, value)
    with pytest.raises(UserError) as raised:
        tokenizer_files.read(tmp_path, vocab_size=99)
    assert str(tmp_path / file) in str(raised.value)
    assert f"{field} is" in str(raised.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("normalizer.lowercase", True),
        ("normalizer.strip_accents", True),
        ("normalizer.handle_chinese_chars", False),
        ("normalizer.type", "Sequence"),
        ("pre_tokenizer.type", "Nothing"),
        ("model.type", "BPE"),
        ("model.unk_token", "<unk>"),
        (
            "post_processor.single",
            [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}],
        ),
    ],
)
def test_a_tokenizer_json_that_contradicts_or_is_damaged_is_refused(
    field, value, wordpiece, tmp_path
):
    """The settings beside it say `do_lower_case` false and so on."""
    tokenizer_files.write(tmp_path, wordpiece, max_positions=9)
    change(tmp_path / "tokenizer.json", field, value)
    with pytest.raises(UserError, match=str(tmp_path)):
        tokenizer_files.read(tmp_path, vocab_size=99)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("normalizer", None),
        ("pre_tokenizer", {"type": "WhitespaceSplit"}),
        ("model.continuing_subword_prefix", "@@"),
        ("model.max_input_chars_per_word", 2),
        ("added_tokens", [{**SPECIAL_ADDED, "id": 18, "content": "covid"}]),
    ],
)
@pytest.mark.parametrize("with_vocabulary", [True, False])
def test_another_kind_comes_in_as_its_tokenizer_json_says(
    field, value, with_vocabulary, wordpiece, tmp_path
):
    tokenizer_files.write(tmp_path, wordpiece, max_positions=9)
    change(tmp_path / "tokenizer.json", field, value)
    if not with_vocabulary:
        (tmp_path / "vocab.txt").unlink()
    back = tokenizer_files.read(tmp_path, vocab_size=99)
    library = library_of(tmp_path)
    for text in ("The cats sat.", "Un chat, 猫坐", "a covid Bb cat"):
        assert back.encode(text) == library.encode(text, add_special_tokens=False).ids
    assert back.special == wordpiece.special
    assert back.fingerprint != wordpiece.fingerprint
    content = (tmp_path / "tokenizer.json").read_bytes()
    (tmp_path / "out").mkdir()
    tokenizer_files.write(tmp_path / "out", back, max_positions=9)
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == content
    again = tokenizer_files.read(tmp_path / "out", vocab_size=99)
    assert again.fingerprint == back.fingerprint


def change(path, field, value):
    """Sets a field of a JSON file, which may lie within another, and may be absent."""
    content = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    *groups, name = field.split(".")
    inner = content
    for group in groups:
        inner = inner[group]
    inner[name] = value
    path.write_text(json.dumps(content))


ADDED = {"id": 17, "content": "covid", "special": False, "normalized": True}


@pytest.mark.parametrize(
    ("file", "field", "value"),
    [
        ("tokenizer_config.json", "added_tokens_decoder", {"17": ADDED}),
        ("tokenizer_config.json", "additional_special_tokens", ["<x>"]),
        ("tokenizer_config.json", "extra_special_tokens", {"x": {"content": "<x>"}}),
        ("added_tokens.json", "covid", 17),
    ],
)
@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_added_tokens_are_refused(file, field, value, kind, request, tmp_path):
    tokenizer = request.getfixturevalue(kind)
    tokenizer_files.write(tmp_path, tokenizer, max_positions=9)
    change(tmp_path / file, field, value)
    with pytest.raises(UserError, match="adds the token|special_tokens is"):
        tokenizer_files.read(tmp_path, vocab_size=9999)


def test_special_tokens_may_be_spelt_out(wordpiece, tmp_path):
    tokenizer_files.write(tmp_path, wordpiece, max_positions=9)
    tokens = dict(zip(SPECIAL_PIECES, wordpiece.special.ids(), strict=True))
    decoder = {str(i): {"content": piece} for piece, i in tokens.items()}
    change(tmp_path / "tokenizer_config.json", "added_tokens_decoder", decoder)
    change(tmp_path / "tokenizer_config.json", "mask_token", {"content": "[MASK]"})
    change(tmp_path / "tokenizer_config.json", "never_split", None)
    change(tmp_path / "tokenizer_config.json", "tokenizer_class", "BertTokenizerFast")
    change(tmp_path / "special_tokens_map.json", "cls_token", "[CLS]")
    processor = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    change(tmp_path / "tokenizer.json", "post_processor", processor)
    back = tokenizer_files.read(tmp_path, vocab_size=99)
    assert back.fingerprint == wordpiece.fingerprint


@pytest.mark.parametrize(
    ("file", "field", "value"),
    [
        ("tokenizer_config.json", "tokenizer_class", "XLMRobertaTokenizer"),
        ("tokenizer_config.json", "do_lower_case", True),
    ],
)
def test_unigrams_of_another_kind_are_refused(file, field, value, unigram, tmp_path):
    tokenizer_files.write(tmp_path, unigram, max_positions=9)
    change(tmp_path / file, field, value)
    with pytest.raises(UserError, match=f"{field} is"):
        tokenizer_files.read(tmp_path, vocab_size=9999)


@pytest.mark.parametrize("vocab", [{"a": 0}, [["a", 0.0]], [[[]], 7], 7])
def test_a_unigram_with_another_vocabulary_is_refused(vocab, unigram, tmp_path):
    tokenizer_files.write(tmp_path, unigram, max_positions=9)
    change(tmp_path / "tokenizer.json", "model.vocab", vocab)
    with pytest.raises(UserError, match="files that belong together"):
        tokenizer_files.read(tmp_path, vocab_size=9999)


def test_two_vocabularies_that_differ_are_refused(wordpiece, tmp_path):
    tokenizer_files.write(tmp_path, wordpiece, max_positions=9)
    with (tmp_path / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("more\n")
    with pytest.raises(UserError, match="files that belong together"):
        tokenizer_files.read(tmp_path, vocab_size=99)


@pytest.mark.parametrize("part", ["added_tokens", "post_processor", "model"])
@pytest.mark.parametrize("value", [7, "x", [7], [[7]], {"type": []}, {"single": 7}])
def test_nonsense_in_a_tokenizer_json_is_refused(part, value, wordpiece, tmp_path):
    tokenizer_files.write(tmp_path, wordpiece, max_positions=9)
    change(tmp_path / "tokenizer.json", part, value)
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        tokenizer_files.read(tmp_path, vocab_size=99)


@pytest.mark.parametrize(
    "file, field",
    [
        ("tokenizer.json", "normalizer"),
        ("tokenizer.json", "pre_tokenizer"),
        ("tokenizer_config.json", "added_tokens_decoder"),
        ("tokenizer_config.json", "additional_special_tokens"),
    ],
)
@pytest.mark.parametrize("value", [7, "x", [7]])
def test_nonsense_about_a_tokenizer_json_kept_as_it_is_is_refused(
    file, field, value, tmp_path
):
    folder = shutil.copytree(XLM_R, tmp_path / "out")
    change(folder / file, field, value)
    with pytest.raises(UserError, match=file):
        tokenizer_files.read(folder, vocab_size=99)


@pytest.mark.parametrize(
    "vocab", [{"[PAD]": 0, "a": 0}, {"a": 1}, {"a": "0"}, {"a": None}, {}, [], None]
)
def test_a_vocabulary_without_proper_ids_is_refused(vocab, wordpiece, tmp_path):
    tokenizer_files.write(tmp_path, wordpiece, max_positions=9)
    (tmp_path / "vocab.txt").unlink()
    content = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    content["model"]["vocab"] = vocab
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"tokenizer\.json"):
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
