import lzma
from pathlib import Path

import pytest

from amber_jax.datasets.tatoeba import (
    ISO_639_1,
    read_many_way_pairs,
    read_tatoeba,
    sorted_english,
)
from amber_jax.errors import UserError

SAMPLE = Path(__file__).parents[2] / "data" / "sample"


def write_pair(directory, code, sentences, english):
    for side, lines in ((code, sentences), ("eng", english)):
        path = directory / f"tatoeba.{code}-eng.{side}"
        path.write_bytes("".join(line + "\n" for line in lines).encode())


@pytest.fixture
def folder(tmp_path):
    write_pair(tmp_path, "fra", ["Oui.", "Non."], ["Yes.", "No."])
    write_pair(tmp_path, "cmn", ["是。"], ["Yes."])
    write_pair(tmp_path, "epo", ["Jes."], ["Yes."])
    return tmp_path


def test_all_languages_of_a_folder_are_read_under_short_names(folder):
    assert read_tatoeba(folder) == {
        "epo": (["Jes."], ["Yes."]),  # has no name in XTREME
        "fr": (["Oui.", "Non."], ["Yes.", "No."]),
        "zh": (["是。"], ["Yes."]),
    }


def test_asked_languages_come_in_the_asked_order(folder):
    assert list(read_tatoeba(folder, ["zh", "fr"])) == ["zh", "fr"]


def test_only_a_newline_ends_a_sentence(tmp_path):
    odd = ["a\u2028b", "c\x0bd", "e\u0085f", ""]
    write_pair(tmp_path, "fra", odd, ["1", "2", "3", "4\r"])
    sentences, english = read_tatoeba(tmp_path)["fr"]
    assert sentences == odd and english == ["1", "2", "3", "4"]


def test_a_missing_last_newline_loses_no_sentence(folder):
    (folder / "tatoeba.fra-eng.fra").write_text("Oui.\nNon.")
    assert read_tatoeba(folder, ["fr"])["fr"][0] == ["Oui.", "Non."]


def test_a_missing_language_is_told_with_what_is_there(folder):
    with pytest.raises(UserError, match=r"for de; .*found the languages epo, fr, zh"):
        read_tatoeba(folder, ["fr", "de"])


def test_a_missing_english_side_is_told(folder):
    (folder / "tatoeba.fra-eng.eng").unlink()
    with pytest.raises(UserError, match=r"tatoeba\.fra-eng\.eng"):
        read_tatoeba(folder)


def test_an_empty_or_absent_folder_is_told(tmp_path):
    for directory in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match="has no Tatoeba files"):
            read_tatoeba(directory)


def test_unequal_counts_are_told_with_both_numbers(folder):
    write_pair(folder, "fra", ["Oui.", "Non.", "Si."], ["Yes.", "No."])
    with pytest.raises(UserError, match=r"has 3 lines and .* has 2"):
        read_tatoeba(folder)


def test_bytes_that_are_not_utf8_are_told_with_their_line(folder):
    (folder / "tatoeba.fra-eng.fra").write_bytes(b"Oui.\n\xff\n")
    with pytest.raises(UserError, match=r"fra-eng\.fra, line 2 is not UTF-8"):
        read_tatoeba(folder)


def test_the_names_are_xtremes_thirty_six_languages():
    assert len(ISO_639_1) == len(set(ISO_639_1.values())) == 36


def test_the_sample_folder_reads_whole():
    pairs = read_tatoeba(SAMPLE / "tatoeba")
    assert pairs
    for sentences, english in pairs.values():
        assert len(sentences) == len(english) > 0
        assert all(sentences) and all(english)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.tsv.xz"
    rows = ["key\ten\tfr\tde\tla", "1\tYes.\tOui.\tJa.\t", "2\tNo.\t\tNein.\t",
            "3\t\tPeut-être.\tVielleicht.\tFortasse."]  # fmt: skip
    path.write_bytes(lzma.compress(("\n".join(rows) + "\n").encode()))
    return path


def test_many_way_rows_count_where_both_sides_exist(table):
    assert read_many_way_pairs(table, languages=["fr", "de"]) == {
        "fr": (["Oui."], ["Yes."]),
        "de": (["Ja.", "Nein."], ["Yes.", "No."]),
    }


def test_any_language_can_be_the_pivot(table):
    pairs = read_many_way_pairs(table, "fr", languages=["de"])
    assert pairs == {"de": (["Ja.", "Vielleicht."], ["Oui.", "Peut-être."])}


def test_a_language_without_a_shared_row_is_told(table):
    with pytest.raises(UserError, match="no row with both en and la"):
        read_many_way_pairs(table)


@pytest.mark.parametrize(("pivot", "languages"), [("sw", None), ("en", ["sw"])])
def test_a_language_that_is_no_column_is_told(table, pivot, languages):
    with pytest.raises(UserError, match="no column sw; its languages are en, fr, de"):
        read_many_way_pairs(table, pivot, languages=languages)


def test_the_sample_table_pairs_every_language_with_english():
    pairs = read_many_way_pairs(SAMPLE / "parallel_eval.tsv.xz")
    counts = {len(english) for _, english in pairs.values()}
    assert len(counts) == 1 and counts.pop() >= 100


def write_xtreme(directory, code, sentences, english):
    (directory / f"{code}-en.{code}").write_text("\n".join(sentences) + "\n")
    (directory / f"{code}-en.en").write_text("\n".join(english) + "\n")


def test_xtremes_names_are_read_if_the_english_side_is_in_order(tmp_path):
    write_xtreme(tmp_path, "fr", ["Oui.", "Non."], ["Yes.", "No."])
    write_xtreme(tmp_path, "zh", ["是。"], ["Yes."])
    assert read_tatoeba(tmp_path) == {
        "fr": (["Oui.", "Non."], ["Yes.", "No."]),
        "zh": (["是。"], ["Yes."]),
    }


def test_a_sorted_english_side_has_no_gold_and_is_refused(tmp_path):
    write_xtreme(tmp_path, "fr", ["Oui.", "Non.", "Si."], ["No.", "Yes.", "Yes."])
    with pytest.raises(UserError, match=r"fr-en\.en is sorted, .* nothing can be"):
        read_tatoeba(tmp_path)


def test_xtremes_order_is_by_text_and_keeps_equal_ones(tmp_path):
    english = ["Yes.", "No.", "Yes.", "A."]
    order = sorted_english(english)
    assert order == [3, 1, 0, 2]
    write_xtreme(tmp_path, "fr", ["a", "b", "c", "d"], [english[i] for i in order])
    with pytest.raises(UserError, match="is sorted"):
        read_tatoeba(tmp_path)
