"""SentencePiece: training is deterministic, encoding loses nothing."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amber_jax.errors import UserError
from amber_jax.tokenization import load_tokenizer, sentencepiece


def test_training_twice_gives_the_same_bytes(text, tmp_path):
    options = {"vocab_size": 1200, "character_coverage": 0.99, "byte_fallback": True}
    for name in ("first", "second"):
        sentencepiece.train(iter(text[:600]), **options).save(tmp_path / name)
    first, second = (
        (tmp_path / name / "sentencepiece.model").read_bytes()
        for name in ("first", "second")
    )
    assert first == second


def test_no_character_of_the_training_text_is_unknown(text, covering):
    unknown = covering.special.unk
    assert not any(unknown in ids for ids in covering.encode_batch(text))


def test_an_unseen_character_is_unknown_without_byte_fallback(covering):
    assert covering.special.unk in covering.encode("ꙮ")


def test_an_unseen_character_is_spelled_in_bytes_with_byte_fallback(fallback):
    ids = fallback.encode("ꙮ")
    assert fallback.pieces(ids) == ["▁", "<0xEA>", "<0x99>", "<0xAE>"]
    assert fallback.decode(ids) == "ꙮ"
    assert fallback.word_starts(ids) == [True, False, False, False]


def test_text_that_spells_a_byte_piece_is_not_that_byte(fallback):
    assert fallback.decode(fallback.encode("<0x41>")) == "<0x41>"


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.text())
def test_decoding_returns_the_normalized_text(fallback, text):
    assert fallback.decode(fallback.encode(text)) == fallback.normalize(text)


def test_decoding_returns_the_training_text(text, covering):
    for line, ids in zip(text, covering.encode_batch(text), strict=True):
        assert covering.decode(ids) == covering.normalize(line)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("  two \t words\n", "two words"),
        ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("cafe\u0301", "café"),
        ("a\u2581b", "a b"),
        ("\ufeffBOM", "BOM"),
        ("\x07", ""),
    ],
)
def test_normalization_is_nfkc_without_controls(fallback, written, normal):
    assert fallback.normalize(written) == normal
    assert fallback.decode(fallback.encode(written)) == normal


def test_words_start_at_the_mark(covering):
    ids = covering.encode("the sea, the sky")
    starts = covering.word_starts(ids)
    assert starts == [piece.startswith("▁") for piece in covering.pieces(ids)]
    assert sum(starts) == 4


def test_punctuation_flags_marks_and_symbols_but_no_letters(covering):
    flags = covering.punctuation()
    by_piece = dict(zip(covering.pieces(range(3000)), flags, strict=True))
    for piece in (",", ".", "।", "。", "؟"):
        assert by_piece[piece], piece
    for piece in ("▁", "▁the", "a", "[MASK]"):
        assert not by_piece[piece], piece


def test_ascii_bytes_are_punctuation_if_their_character_is(fallback):
    flags = fallback.punctuation()
    ids = {p: i for i, p in enumerate(fallback.pieces(range(fallback.vocab_size)))}
    assert flags[ids["<0x2C>"]]
    assert not flags[[ids["<0x41>"], ids["<0xE3>"], ids["<0x00>"]]].any()


def test_special_names_in_the_training_text_do_not_become_pieces():
    text = [f"[MASK] {i} [CLS][UNK] number {i} of [PAD] the [SEP]" for i in range(300)]
    trained = sentencepiece.train(
        text, vocab_size=30, character_coverage=1.0, byte_fallback=False
    )
    bracketed = [p for p in trained.pieces(range(trained.vocab_size)) if "[" in p]
    assert bracketed == trained.pieces(trained.special.ids())


def test_a_surrogate_in_the_training_text_is_no_error():
    text = ["broken \ud800 text of some words"] * 20
    trained = sentencepiece.train(
        text, vocab_size=20, character_coverage=1.0, byte_fallback=False
    )
    assert trained.vocab_size == 20


@pytest.mark.parametrize(
    ("text", "vocab_size", "message"),
    [
        (["abc def ghi"] * 9, 100_000, "too high"),
        (["abc def ghi"] * 9, 10, "smaller than required_chars"),
        ([], 100, "empty"),
        (["", " "], 100, "vocab_size 100 does not fit"),
    ],
)
def test_text_that_does_not_fit_the_vocabulary_is_refused(text, vocab_size, message):
    with pytest.raises(UserError, match=message):
        sentencepiece.train(
            text, vocab_size=vocab_size, character_coverage=1.0, byte_fallback=False
        )


@pytest.mark.parametrize("coverage", [0.5, 1.01, float("nan")])
def test_a_coverage_outside_its_range_is_refused(coverage):
    with pytest.raises(UserError, match=r"from 0\.98 to 1"):
        sentencepiece.train(
            ["text"], vocab_size=20, character_coverage=coverage, byte_fallback=False
        )


@pytest.mark.parametrize("content", [b"", b"no model", b"\0" * 99])
def test_a_file_that_is_no_model_is_refused(content, tmp_path):
    path = tmp_path / "broken.model"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.model: not a SentencePiece model"):
        load_tokenizer(path)


def test_a_model_without_berts_special_pieces_is_refused(text, tmp_path):
    import sentencepiece as library

    path = tmp_path / "foreign"
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(text[:150]),
        model_prefix=str(path),
        vocab_size=120,
        minloglevel=2,
    )
    with pytest.raises(UserError, match=r"has no piece \[PAD\], \[UNK\]"):
        load_tokenizer(path.with_suffix(".model"))


def test_special_tokens_cannot_be_changed(covering):
    with pytest.raises(dataclasses.FrozenInstanceError):
        covering.special.pad = 7
    assert np.array_equal(covering.special.ids(), range(5))
