"""Tokens, words and what is unknown, counted by language."""

import json

import pytest

from amber_jax.corpora.fertility import Fertility, fertility, write_fertility
from amber_jax.tokenization import sentencepiece

ENGLISH = ["the cat sat on the mat", "a cat and a hat", "the hat sat"] * 20


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_what_a_vocabulary_lacks_is_unknown_whole_or_in_bytes(byte_fallback):
    tokenizer = sentencepiece.train(
        ENGLISH,
        vocab_size=276 if byte_fallback else 20,
        character_coverage=1.0,
        byte_fallback=byte_fallback,
    )
    by_language = fertility(
        tokenizer, {"en": ENGLISH[:3], "ru": ["кот", "the cat"], "eo": []}
    )
    assert by_language["en"].words == 14 and by_language["en"].characters == 37
    assert by_language["en"].tokens == sum(map(len, map(tokenizer.encode, ENGLISH[:3])))
    assert by_language["en"].unknown == 0
    assert by_language["ru"].unknown == (6 if byte_fallback else 1)
    assert by_language["ru"].sentences == 2 and by_language["ru"].words == 3
    assert by_language["eo"] == Fertility(0, 0, 0, 0, 0)
    assert by_language["eo"].tokens_a_word == by_language["eo"].unknown_rate == 0


def test_rates_and_the_file(tmp_path):
    counts = Fertility(sentences=1, characters=30, words=4, tokens=10, unknown=1)
    rates = (counts.tokens_a_word, counts.characters_a_token, counts.unknown_rate)
    assert rates == (2.5, 3.0, 0.1)
    write_fertility(tmp_path, {"en": counts})
    stored = json.loads((tmp_path / "fertility.json").read_text("utf-8"))
    assert Fertility(**stored["en"]) == counts
