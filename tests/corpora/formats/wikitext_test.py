"""Wikitext: what a reader sees, and markup without end."""

import pytest
from corpora.formats import pages
from hypothesis import given
from hypothesis import strategies as st

from amber_jax.corpora.formats.wikitext import HIDDEN, paragraphs

PAGES = {name: page for name, page in vars(pages).items() if name.isupper()}
FRENCH = HIDDEN | {"fichier", "catégorie"}
MANY = 20_000


@pytest.mark.parametrize("name", PAGES)
def test_a_page_gives_the_text_that_its_reader_sees(name):
    wikitext, seen = PAGES[name]
    assert paragraphs(wikitext, FRENCH) == seen


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "<ref>",
            "<nowiki>",
            "<!--",
            "{|\n",
            "{| ",
            "[[",
            "[[a|",
            "{{a|",
            "{{{",
            "-{",
        ),
        *("[http://", "[//a ", "[mailto:", "''a", "'", "(,", "__a", "<a ", "<", "&"),
        *("{{nowrap|", "{{[[", "-{A;", "-{}-", "|}\n", "]]", "}}", " ", "=", "{", "}"),
    ],
)
def test_what_is_left_open_ends_soon_and_keeps_the_text(unit):
    """A step that looked at a rest for each of these would take minutes."""
    text = "Before.\n\n" + unit * MANY
    assert paragraphs(text)[:1] == ["Before."]


@pytest.mark.parametrize(
    "text",
    [
        *("[http://a" + " " * 100_000, "-{" + " " * 100_000 + "}-"),
        *("(" + " " * 100_000, "-{a" + ";a" * 50_000 + "|"),
        *("-{zh" + " " * 100_000 + "}-", "-{" + "a=>" * 50_000 + "}-"),
        "{{nowrap|" * MANY + "x" * 1_000_000 + "}}" * MANY,
        "[[a|" * MANY + "x" * 1_000_000 + "]]" * MANY,
        "{|\n" * MANY + "x\n" * MANY + "|}\n" * MANY,
    ],
)
def test_long_runs_of_anything_end_soon(text):
    assert all(len(paragraph) <= len(text) for paragraph in paragraphs(text))


@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    "{{",
                    "}}",
                    "{{{",
                    "}}}",
                    "[[",
                    "]]",
                    "{|",
                    "|}",
                    "-{",
                    "}-",
                    "|",
                    ":",
                ),
                *("<ref>", "</ref>", "<nowiki>", "</nowiki>", "<!--", "-->", "''", "'"),
                *(
                    "\n",
                    "\n\n",
                    "* ",
                    "=",
                    "a",
                    "File",
                    "lang",
                    ";",
                    "&#91;",
                    "<b",
                    ">",
                ),
            ]
        )
    ).map("".join)
)
def test_any_markup_gives_lines_of_clean_text(wikitext):
    for paragraph in paragraphs(wikitext):
        assert paragraph == " ".join(paragraph.split())
        assert any(character.isalpha() for character in paragraph)


@given(st.text("abcéя \t\n"))
def test_words_without_markup_stay(text):
    assert " ".join(paragraphs(text)).split() == text.split()
