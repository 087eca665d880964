"""CoNLL-U and tagged lines: golden files, XTREME's fusing, and broken lines."""

import lzma

import conllu
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amber_jax.datasets.fused_words import Span, Word, fuse
from amber_jax.datasets.tagged_lines import read_tagged_lines
from amber_jax.datasets.universal_dependencies import read_conllu
from amber_jax.errors import UserError
from amber_jax.tasks import TASKS


def row(number, form, tag="_", head="_", deps="_"):
    return f"{number}\t{form}\t_\t{tag}\t_\t_\t{head}\t_\t{deps}\t_"


GERMAN = "\n".join(
    [
        "# text = Im  Haus ging sie.",
        row("1-2", "Im"),
        row(1, "in", "ADP", 3),
        row(2, "dem", "DET", 3),
        row(3, "Haus", "NOUN", 4),
        row(4, "ging", "VERB", 0),
        row("4.1", "_", "VERB"),
        row(5, "sie", "PRON", 4),
        row(6, ".", "PUNCT", 4),
        "",
        "# newdoc",
        "# text = Ja",
        row(1, "Ja", "INTJ", 0),
        "",
        "",
    ]
)


def read(path, text, *, language="de", syntactic_words=False):
    path.write_bytes(text.encode())
    sentences, withheld = read_conllu(
        path, language=language, syntactic_words=syntactic_words
    )
    shown = [
        " ".join(f"{word}/{tag}" for word, tag in zip(*sentence, strict=True))
        for sentence in sentences
    ]
    return shown, withheld


@pytest.fixture
def path(tmp_path):
    return tmp_path / "de_x-ud-test.conllu"


def test_xtreme_has_one_word_for_what_is_written_as_one(path):
    assert read(path, GERMAN) == (
        ["Im/ADP Haus/NOUN ging/VERB sie/PRON ./PUNCT", "Ja/INTJ"],
        0,
    )


def test_syntactic_words_are_all_words_and_no_empty_node(path):
    assert read(path, GERMAN, syntactic_words=True) == (
        ["in/ADP dem/DET Haus/NOUN ging/VERB sie/PRON ./PUNCT", "Ja/INTJ"],
        0,
    )


def test_syntactic_words_are_those_of_the_conllu_package(path):
    wanted = [
        " ".join(
            f"{t['form']}/{t['upos']}" for t in sentence if isinstance(t["id"], int)
        )
        for sentence in conllu.parse(GERMAN)
    ]
    assert read(path, GERMAN, syntactic_words=True)[0] == wanted


@pytest.mark.parametrize(
    "text",
    [
        GERMAN.rstrip("\n"),
        GERMAN.replace("\n", "\r\n"),
        "\ufeff" + GERMAN,
        "\n\n" + GERMAN + "\n\n\n",
    ],
    ids=["no last line end", "crlf", "bom", "more empty lines"],
)
def test_line_ends_and_empty_lines_change_nothing(path, text):
    assert read(path, text) == read(path, GERMAN)


WORDS = [
    # form                XTREME's          syntactic
    ("Việt Nam",          "ViệtNam",        "Việt Nam"),
    ("می\u200cخواهم",     "میخواهم",         "می\u200cخواهم"),
    ("\u00a0a\u00a0b",    "a\u00a0b",       "\u00a0a\u00a0b"),
    ("#",                 "#",              "#"),
    ('"',                 '"',              '"'),
]  # fmt: skip


@pytest.mark.parametrize(("form", "xtreme", "syntactic"), WORDS)
def test_xtreme_removes_spaces_and_non_joiners_in_words(path, form, xtreme, syntactic):
    text = row(1, form, "NOUN", 0) + "\n" + row(2, "b", "VERB", 0) + "\n"
    assert read(path, text)[0] == [f"{xtreme}/NOUN b/VERB"]
    assert read(path, text, syntactic_words=True)[0] == [f"{syntactic}/NOUN b/VERB"]


@pytest.mark.parametrize(
    ("forms", "kept"),
    [("_", False), ("_ _", False), ("_ b", False), ("_ b c", True), ("_ _ c", False),
     ("a", True)],
)  # fmt: skip
def test_sentences_of_withheld_words_are_left_out_and_counted(path, forms, kept):
    lines = [row(i, form, "X", 0) for i, form in enumerate(forms.split(), start=1)]
    for syntactic_words in (False, True):
        sentences, withheld = read(
            path, "\n".join(lines), syntactic_words=syntactic_words
        )
        assert (len(sentences), withheld) == ((1, 0) if kept else (0, 1))


def word(tag, *heads):
    return Word(tag.lower(), tag, heads)


FUSED = [
    # language, words of a sentence written as one       the tag
    # Fewest ancestors: the verb stands above its clitic.
    ("xx", [word("VERB", 0), word("PRON", 1)],           "VERB"),
    ("xx", [word("PRON", 2), word("ADP", 0)],            "ADP"),
    # Equally high: the language's list decides.
    ("xx", [word("ADP", 3), word("DET", 3), word("X", 0)], "ADP"),
    ("xx", [word("DET", 3), word("ADP", 3), word("X", 0)], "ADP"),
    ("xx", [word("NOUN", 0), word("VERB", 0)],           "VERB"),
    ("fr", [word("NOUN", 0), word("PRON", 0)],           "PRON"),
    ("xx", [word("NOUN", 0), word("PRON", 0)],           "NOUN"),
    ("it", [word("PRON", 0), word("ADV", 0)],            "ADV"),
    ("es", [word("DET", 0), word("AUX", 0)],             "AUX"),
    # A tag outside the list comes last.
    ("es", [word("NOUN", 0), word("DET", 0)],            "DET"),
    ("xx", [word("SYM", 0), word("PUNCT", 0)],           "PUNCT"),
    # An enhanced head adds ancestors: the verb has two, the adverb one.
    ("xx", [word("VERB", 0, 3), word("ADV", 0), word("X", 0)], "ADV"),
    # Heads in a circle, or past the end, end nothing.
    ("xx", [word("VERB", 2), word("ADV", 1)],            "VERB"),
    ("xx", [word("VERB", 9), word("ADV", 9)],            "VERB"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "words", "tag"), FUSED)
def test_a_fused_word_has_the_tag_of_its_highest_word(language, words, tag):
    rest = [(untouched.form, untouched.tag) for untouched in words[2:]]
    fused = fuse(words, [Span(1, 2, "both")], language=language)
    assert fused == [("both", tag), *rest]


def test_words_between_fused_words_stay():
    words = [word(tag, 0) for tag in ("ADP", "DET", "NOUN", "VERB", "PRON", "PUNCT")]
    fused = fuse(words, [Span(1, 2, "du"), Span(4, 5, "dit")], language="fr")
    assert fused == [
        ("du", "ADP"), ("noun", "NOUN"), ("dit", "VERB"), ("punct", "PUNCT")
    ]  # fmt: skip


def test_enhanced_heads_are_read(path):
    lines = [row("1-2", "ab"), row(1, "a", "VERB", 0, "0:root|3:conj|4.1:x"),
             row(2, "b", "ADV", 0), row(3, "c", "X", 0)]  # fmt: skip
    assert read(path, "\n".join(lines))[0] == ["ab/ADV c/X"]


BROKEN = [
    # lines                                             line   what is said
    (["# a", row(1, "a", "NOUN", 0) + "\tx"],           2, "10 columns"),
    ([row(1, "a", "NOUN", 0), "two words"],             2, "10 columns"),
    ([row(1, "", "NOUN", 0)],                           1, "10 columns"),
    ([" "],                                             1, "10 columns"),
    ([row(1, "a", "NN", 0)],                            1, "the tag 'NN'"),
    ([row(1, "a", "_", 0)],                             1, "the tag '_'"),
    ([row(1, "a", "NOUN", 0), row(3, "b", "NOUN", 0)],  2, "id '3'; wanted 2"),
    ([row(2, "a", "NOUN", 0)],                          1, "id '2'; wanted 1"),
    ([row("x", "a", "NOUN", 0)],                        1, "id 'x'"),
    ([row("²", "a", "NOUN", 0)],                        1, "id '²'"),
    ([row("2-3", "a")],                                 1, "id '2-3'"),
    ([row("1-0", "a")],                                 1, "id '1-0'"),
    ([row("1-2", "a"), row("1-2", "a")],                2, "id '1-2'"),
    ([row("1-2", "a"), row(1, "a", "X", 0), row("2-3", "a")], 3, "id '2-3'"),
    ([row("1-3", "a"), row(1, "a", "X", 0), "", ""],    3, "1-3 is one of"),
    ([row("1-2", "a")],                                 1, "1-2 is one of"),
    ([row(1, "a", "NOUN", "-1")],                       1, "head '-1'"),
    ([row(1, "a", "NOUN", "9" * 5000)],                 1, "head '99"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "number", "message"), BROKEN)
def test_a_broken_line_is_told_with_file_and_number(path, lines, number, message):
    with pytest.raises(UserError) as caught:
        read(path, "\n".join(lines))
    assert f"{path}, line {number} " in str(caught.value)
    assert message in str(caught.value)


def test_lines_are_those_of_the_plain_text_also_in_xz(tmp_path):
    path = tmp_path / "x.conllu.xz"
    path.write_bytes(lzma.compress((GERMAN + "1\tone").encode()))
    with pytest.raises(UserError, match=rf"{path}, line 15 is '1\\tone'"):
        read_conllu(path, language="de", syntactic_words=True)


def test_bytes_that_are_not_utf8_are_told_with_their_line(path):
    path.write_bytes(GERMAN.encode() + b"\xff\n")
    with pytest.raises(UserError, match="line 15 is not UTF-8"):
        read_conllu(path, language="de", syntactic_words=True)


sentences = st.lists(
    st.lists(
        st.tuples(st.text("abé漢'\"#-", min_size=1), st.sampled_from(["X", "NOUN"])),
        min_size=1,
        max_size=5,
    ),
    max_size=4,
)  # fmt: skip


@given(sentences)
@settings(max_examples=50)
def test_what_is_written_is_read(tmp_path_factory, sentences):
    folder = tmp_path_factory.mktemp("written")
    (folder / "a.conllu").write_text(
        "\n".join(
            "\n".join(row(i, *pair, 0) for i, pair in enumerate(sentence, start=1))
            + "\n"
            for sentence in sentences
        )
    )
    (folder / "a.tsv").write_text(
        "\n".join(
            "".join(f"{form}\t{tag}\n" for form, tag in sentence)
            for sentence in sentences
        )
    )
    wanted = [tuple(zip(*sentence, strict=True)) for sentence in sentences]
    for syntactic_words in (False, True):
        tagged, _ = read_conllu(
            folder / "a.conllu", language="xx", syntactic_words=syntactic_words
        )
        assert tagged == wanted
    tags = TASKS["udpos"].labels
    assert read_tagged_lines(folder / "a.tsv", tags=tags, hint="") == wanted
