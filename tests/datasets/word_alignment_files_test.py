"""XL-WA tables, Pharaoh links, and what is wrong with them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amber_jax.datasets.word_alignment_files import (
    format_pharaoh,
    parse_links,
    read_pharaoh,
    read_xl_wa,
)
from amber_jax.errors import UserError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "test.tsv"


def test_xl_wa_rows_are_words_and_sure_links(path):
    path.write_bytes("The  dog\tder Hund\t0-0 1-1\r\na\tb\u00a0c d\t\n".encode())
    first, second = read_xl_wa(path)
    assert first == (
        ("The", "dog"), ("der", "Hund"), {(0, 0), (1, 1)}, {(0, 0), (1, 1)}
    )  # fmt: skip
    assert second == (("a",), ("b\u00a0c", "d"), frozenset(), frozenset())


@pytest.mark.parametrize("mark", ["p", "?"])
def test_possible_links_are_not_sure(mark):
    sure, possible = parse_links(f"0-0 1{mark}2 3-1")
    assert sure == {(0, 0), (3, 1)}
    assert possible == {(0, 0), (1, 2), (3, 1)}


links = st.frozensets(st.tuples(st.integers(0, 200), st.integers(0, 200)))


@given(links)
@settings(max_examples=50)
def test_links_survive_writing_and_reading(links):
    assert parse_links(format_pharaoh(links)) == (links, links)


def test_links_are_written_in_order():
    assert format_pharaoh([(10, 0), (2, 1), (2, 0)]) == "2-0 2-1 10-0"
    assert format_pharaoh([]) == ""


@pytest.mark.parametrize("separator", ["\t", " ||| "])
def test_pharaoh_links_stand_beside_one_text(tmp_path, separator):
    text, links = tmp_path / "text", tmp_path / "links"
    text.write_text(f"a b{separator}c\nd{separator}e f\n")
    links.write_text("0-0 1p0\n\n")
    pairs = read_pharaoh(text, links)
    assert [(pair.src, pair.tgt) for pair in pairs] == [
        (("a", "b"), ("c",)), (("d",), ("e", "f"))
    ]  # fmt: skip
    assert pairs[0].sure == {(0, 0)}
    assert pairs[0].possible == {(0, 0), (1, 0)}
    assert not pairs[1].possible


def test_pharaoh_links_stand_beside_two_texts(tmp_path):
    for name, content in {"en": "a b\n", "de": "c\n", "links": "1-0\n"}.items():
        (tmp_path / name).write_text(content)
    (pair,) = read_pharaoh((tmp_path / "en", tmp_path / "de"), tmp_path / "links")
    assert pair == (("a", "b"), ("c",), {(1, 0)}, {(1, 0)})


KFTT = ["the old dog\tinu da\t1-1 2-1", "a cat sat\tneko ga iru\t2-1 2?2"]


def test_links_counted_from_1_are_refused_until_it_is_said(tmp_path, path):
    path.write_text("\n".join(KFTT))
    with pytest.raises(UserError, match="first_index=1"):
        read_xl_wa(path)
    first, second = read_xl_wa(path, first_index=1)
    assert first.sure == {(0, 0), (1, 0)}
    assert (second.sure, second.possible) == ({(1, 0)}, {(1, 0), (1, 1)})
    text, links = tmp_path / "text", tmp_path / "links"
    text.write_text("".join(line.rpartition("\t")[0] + "\n" for line in KFTT))
    links.write_text("".join(line.rpartition("\t")[2] + "\n" for line in KFTT))
    with pytest.raises(UserError, match="first_index=1"):
        read_pharaoh(text, links)
    assert read_pharaoh(text, links, first_index=1) == [first, second]


def test_a_0_where_words_are_counted_from_1_is_told(path):
    path.write_text("a b\tc\t1-1\na b\tc\t0-1\n")
    with pytest.raises(UserError, match="line 2 links 0-1.*counted from 1"):
        read_xl_wa(path, first_index=1)


def test_a_0_on_one_side_is_enough(path):
    path.write_text("a b c\td e\t0-1 1-1\n")
    assert read_xl_wa(path)[0].sure == {(0, 1), (1, 1)}


def test_a_file_without_any_link_is_read(path):
    path.write_text("a\tb\t\n")
    assert not read_xl_wa(path)[0].possible


BROKEN = [
    ("a b\tc\t0-0\na\tb\n",       2, "2 fields"),
    ("a b\tc\t0-0\n\n",           2, "1 fields"),
    ("a b\tc\t0-0 1:0\n",         1, "the item '1:0'"),
    ("a b\tc\t0-0-0\n",           1, "the item '0-0-0'"),
    ("a b\tc\t-1-0\n",            1, "the item '-1-0'"),
    ("a b\tc\t2-0\n",             1, "links 2-0, but its sides have 2 and 1 words"),
    ("a b\tc\t0p1\n",             1, "links 0-1"),
    (" \tc\t\n",                  1, "a side without words"),
    ("",                          1, "the file is empty"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "number", "message"), BROKEN)
def test_a_broken_row_is_told_with_file_and_number(path, text, number, message):
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_xl_wa(path)
    assert f"{path}, line {number} " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "links", "message"),
    [
        ("a\tb\n", "0-0\n\n", "links, line 2 .*the alignments go on"),
        ("a\tb\nc\td\n", "0-0\n", "links, line 2 .*the text go"),
        ("a b\n", "0-0\n", "text, line 1 is 'a b'; wanted source and target"),
        ("a\tb\n", "0-9\n", "links, line 1 links 0-9"),
        ("", "", "links, line 1 is missing"),
    ],
)
def test_texts_and_links_that_do_not_pair_up_are_told(tmp_path, text, links, message):
    (tmp_path / "text").write_text(text)
    (tmp_path / "links").write_text(links)
    with pytest.raises(UserError, match=message):
        read_pharaoh(tmp_path / "text", tmp_path / "links")


def test_two_texts_of_unequal_length_are_told(tmp_path):
    for name, content in {"en": "a\nb\n", "de": "c\n", "links": "0-0\n0-0\n"}.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match="de, line 2 is missing: the other text"):
        read_pharaoh((tmp_path / "en", tmp_path / "de"), tmp_path / "links")
