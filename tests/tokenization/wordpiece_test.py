"""WordPiece: BERT's cased split, golden rows, and vocabularies that are refused."""

import pytest

from amber_jax.errors import UserError
from amber_jax.tokenization import load_tokenizer

GOLDEN = [
    ("the cats", ["the", "cat", "##s"]),
    ("unaffable", ["un", "##aff", "##able"]),
    ("The cat", ["[UNK]", "cat"]),  # cased: no lower-casing
    ("naïve", ["na", "##ï", "##ve"]),  # accents stay
    ("na\u00adïve", ["na", "##ï", "##ve"]),  # format characters vanish
    ("e\u0301", ["[UNK]"]),  # and are not composed
    ("a中文b", ["a", "中", "文", "b"]),  # CJK characters are words
    ("cat,cat.", ["cat", ",", "cat", "."]),
    ("[MASK]", ["[", "MASK", "]"]),
    ("a\tb\u00a0c\r\n", ["a", "b", "c"]),
    ("a\0b\ufffdc", ["a", "##b", "##c"]),
    ("a" * 100, ["a"] + ["##a"] * 99),
    ("a" * 101, ["[UNK]"]),
    ("\ud800", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "pieces"), GOLDEN)
def test_text_splits_into_these_pieces(wordpiece, text, pieces):
    assert wordpiece.pieces(wordpiece.encode(text)) == pieces


def test_words_start_where_no_continuation_mark_is(wordpiece):
    ids = wordpiece.encode("the cats, unaffable 中文")
    assert wordpiece.pieces(ids)[2] == "##s"
    starts = [True, True, False, True, True, False, False, True, True]
    assert wordpiece.word_starts(ids) == starts


def test_decoding_joins_pieces_to_words(wordpiece):
    ids = wordpiece.encode("the cats, unaffable")
    assert wordpiece.decode(ids) == "the cats , unaffable"


def test_punctuation_is_flagged_as_word_and_as_continuation(wordpiece):
    flags = wordpiece.punctuation()
    flagged = {p for p, flag in zip(pieces_of(wordpiece), flags, strict=True) if flag}
    assert flagged == {"[", "]", ",", ".", "!", "##,"}


def pieces_of(tokenizer):
    return tokenizer.pieces(range(tokenizer.vocab_size))


def test_special_pieces_are_found_by_name(tmp_path):
    tokenizer = load(tmp_path, b"a\n[SEP]\n[MASK]\n[PAD]\nb\n[UNK]\n[CLS]\n")
    assert tokenizer.special.ids() == (3, 5, 6, 1, 2)
    assert tokenizer.encode("b a ?") == [4, 0, 5]


def test_line_ends_do_not_matter(tmp_path):
    lines = [b"[PAD]", b"[UNK]", b"[CLS]", b"[SEP]", b"[MASK]", b"a\xe2\x80\xa8b"]
    contents = [b"\n".join(lines), b"\n".join(lines) + b"\n", b"\r\n".join(lines)]
    tokenizers = [load(tmp_path, content) for content in contents]
    assert len({tokenizer.fingerprint for tokenizer in tokenizers}) == 1
    assert pieces_of(tokenizers[2])[-1] == "a\u2028b"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "vocab.txt: is empty"),
        (b"\n\n", "vocab.txt: is empty"),
        (b"[PAD]\n\nb\n", "line 2 is empty"),
        (b"[PAD]\na\nb\na\n", "line 4 repeats the piece 'a' of line 2"),
        (b"[PAD]\na\n\xff\xfe\n", "line 3 is not UTF-8"),
        (b"[PAD]\n[UNK]\n[CLS]\na\n", r"has no piece \[SEP\], \[MASK\]"),
    ],
)
def test_a_broken_vocabulary_is_refused_with_its_line(content, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load(tmp_path, content)


def load(folder, content):
    path = folder / "vocab.txt"
    path.write_bytes(content)
    return load_tokenizer(path)
