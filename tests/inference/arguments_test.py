"""What is put before sentences, by name or as it is."""

import pytest

from amber_jax.errors import UserError
from amber_jax.inference.arguments import prompt_text
from amber_jax.model.sentence_vector import EncodingDefaults

OF_E5 = EncodingDefaults({"query": "query: ", "Passage": "passage: "}, "query")


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (None, "query: "),
        ("", ""),
        ("query", "query: "),
        ("Passage", "passage: "),
        ("querry: ", "querry: "),
        ("query ", "query "),
        ("Frage", "Frage"),
    ],
)
def test_a_prompt_is_a_name_or_else_a_text(wanted, text):
    assert prompt_text(OF_E5, wanted) == text
    if wanted is not None:
        assert prompt_text(EncodingDefaults(), wanted) == wanted


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [("querry", "query"), ("Query", "query"), ("passag", "Passage")],
)
def test_a_mistyped_name_of_a_prompt_is_no_text(wanted, meant):
    with pytest.raises(UserError, match=f"'{wanted}'.*did you mean '{meant}'"):
        prompt_text(OF_E5, wanted)
