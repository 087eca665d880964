"""`AutoTokenizer` on exported folders: the ids are ours, of both kinds."""

import unicodedata

import pytest
import tiny_checkpoint
import transformers

from amber_jax.tokenization import load_tokenizer

TIES = 3  # sentences, see `library_unigram`


@pytest.fixture(scope="module", params=["WordPiece", "SentencePiece"])
def exported(request, mbert_vocabulary, unigram, convert, tmp_path_factory):
    """Our tokenizer, and the folder it was exported to with a tiny model."""
    folder = tmp_path_factory.mktemp(request.param)
    ours = unigram
    if request.param == "WordPiece":
        ours = load_tokenizer(mbert_vocabulary)
    checkpoint = tiny_checkpoint.write(folder / "amber", ours)
    convert(f"amber:{checkpoint}", f"hf:{folder / 'hf'}")
    return ours, folder / "hf"


@pytest.fixture
def theirs(exported):
    return transformers.AutoTokenizer.from_pretrained(exported[1])


def assert_equal_ids(ours, theirs, texts):
    wanted = ours.encode_batch(texts)
    their_ids = theirs(texts, add_special_tokens=False, verbose=False)["input_ids"]
    other = [i for i, ids in enumerate(wanted) if ids != their_ids[i]]
    print(f"{len(texts)} sentences, {len(other)} differ")
    for i in other:  # nothing but the order of pieces that cost the same
        assert sorted(wanted[i]) == sorted(their_ids[i]), texts[i]
    assert len(other) <= TIES


def test_all_sentences_of_ten_languages_get_equal_ids(exported, theirs, many_sentences):
    assert theirs.is_fast
    assert_equal_ids(exported[0], theirs, many_sentences)


def test_text_in_decomposed_letters_gets_equal_ids(exported, theirs, many_sentences):
    texts = [*many_sentences[::8], "Tiếng Việt", "Ọ̀rẹ́ mi, ẹ̀kọ́ dára púpọ̀", "ị̀hụ́nánya"]
    apart = [unicodedata.normalize("NFD", text) for text in texts]
    assert_equal_ids(exported[0], theirs, apart)


@pytest.mark.parametrize(
    "text",
    ["", " ", "  two \t words\n", "a\u2581b", "\ufeffBOM", "ꙮ ꙮꙮ", "<0x41>", "[ x ]"],
)
def test_odd_texts_get_equal_ids(exported, theirs, text):
    wanted = exported[0].encode(text)
    assert theirs(text, add_special_tokens=False)["input_ids"] == wanted


def test_pairs_have_special_tokens_and_segments(exported, theirs):
    ours, _ = exported
    rows = theirs("one text", "another")
    x, y = ours.encode("one text"), ours.encode("another")
    special = ours.special
    assert rows["input_ids"] == [special.cls, *x, special.sep, *y, special.sep]
    assert rows["token_type_ids"] == [0] * (len(x) + 2) + [1] * (len(y) + 1)
    names = ("pad", "unk", "cls", "sep", "mask")
    assert [getattr(theirs, f"{name}_token_id") for name in names] == [*special.ids()]
    assert theirs.model_max_length == tiny_checkpoint.POSITIONS
    assert theirs.decode(x, skip_special_tokens=True) == "one text"


def test_the_mask_can_be_filled(exported):
    _, folder = exported
    fill = transformers.pipeline("fill-mask", model=str(folder))
    assert len(fill("Paris is [MASK].", top_k=3)) == 3


def test_both_kinds_come_back_bit_equal(exported, convert, tmp_path):
    ours, folder = exported
    convert(f"hf:{folder}", f"amber:{tmp_path / 'back'}")
    back = load_tokenizer(tmp_path / "back" / "tokenizer")
    assert back.fingerprint == ours.fingerprint
