"""Lines of a word and a tag: XTREME's files, and the WikiAnn data set's own."""

import pytest

from amber_jax.datasets.tagged_lines import read_tagged_lines
from amber_jax.errors import UserError
from amber_jax.tasks import TASKS


def read(path, text, *, task="udpos", prefix=""):
    path.write_bytes(text.encode())
    return read_tagged_lines(path, tags=TASKS[task].labels, hint="", prefix=prefix)


def test_tagged_lines_are_sentences_between_empty_lines(tmp_path):
    text = "\n\n我\tPRON\r\n看 书\tVERB\r\n\r\n\r\n#\tSYM"
    assert read(tmp_path / "test-zh.tsv", text) == [
        (("我", "看 书"), ("PRON", "VERB")),
        (("#",), ("SYM",)),
    ]


@pytest.mark.parametrize("line", ["word", "word\t", "a\tNN", "a\tNOUN\tx", "a NOUN"])
def test_a_line_without_a_tag_is_told_with_its_number(tmp_path, line):
    with pytest.raises(UserError, match="line 3 is .*wanted a word, a tab and one of"):
        read(tmp_path / "test-zh.tsv", f"a\tNOUN\n\n{line}\n")


PREFIXED = [
    # the file                                     its words
    ("en:Rome\tB-LOC\nen:is\tO\n\nen:en:x\tO\n", [("Rome", "is"), ("en:x",)]),
    ("en:12:30\tO\nen::\tO\nen:\tO\n",            [("12:30", ":", "")]),
    # Without the language before every word it belongs to the text.
    ("Rome\tB-LOC\nen:Roma\tB-LOC\n",             [("Rome", "en:Roma")]),
    ("de:Rom\tB-LOC\nde:ist\tO\n",                [("de:Rom", "de:ist")]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), PREFIXED)
def test_a_language_before_every_word_is_left_out(tmp_path, text, words):
    sentences = read(tmp_path / "train", text, task="panx", prefix="en:")
    assert [sentence.words for sentence in sentences] == words
