"""XNLI, MultiNLI, SICK and PAWS-X in every layout they are found in."""

import pytest

from amber_jax.datasets.sentence_pairs import NO_GOLD, is_translated, read_pairs
from amber_jax.errors import UserError

XNLI_HEADER = (
    "language\tgold_label\tsentence1_binary_parse\tsentence2_binary_parse\t"
    "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tpromptID\tpairID\tgenre\t"
    "label1\tlabel2\tlabel3\tlabel4\tlabel5\tsentence1_tokenized\t"
    "sentence2_tokenized\tmatch"
)


def xnli_row(language, label, first, second):
    cells = [language, label, "", "", "", "", first, second, "1", "2", "news", label]
    return "\t".join([*cells, "", "", "", "", first + " .", second + " .", "True"])


def read(path, lines, *, task="xnli", language="de", end="\n"):
    path.write_bytes("".join(line + end for line in lines).encode())
    return read_pairs(path, language=language, task=task)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "test-de.tsv"


PLAIN = ["Er kam.\tEr ging.\tcontradiction", "Ja.\tNein.\tneutral"]
PLAIN_PAIRS = [("Er kam.", "Er ging.", "contradiction"), ("Ja.", "Nein.", "neutral")]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "header", [[], ["premise\thypo\tlabel"], ["premise\thypothesis\tlabel"]]
)
def test_three_columns_are_read_with_header_and_without(path, header, end):
    assert read(path, header + PLAIN, end=end) == (PLAIN_PAIRS, {})


def test_the_first_row_of_a_file_with_a_bom_is_no_header(path):
    assert read(path, ["\ufeff" + PLAIN[0], PLAIN[1]]) == (PLAIN_PAIRS, {})


def test_a_missing_last_line_end_loses_no_row(path):
    path.write_text("\n".join(PLAIN))
    assert read_pairs(path, language="de", task="xnli") == (PLAIN_PAIRS, {})


def test_an_original_xnli_file_gives_the_rows_of_one_language(path):
    rows = [
        XNLI_HEADER,
        xnli_row("ar", "neutral", "x", "y"),
        xnli_row("de", "contradiction", "Er kam.", "Er ging."),
        xnli_row("zh", "neutral", "x", "y"),
        xnli_row("de", "neutral", " Ja. ", "Nein."),
    ]
    assert read(path, rows) == (PLAIN_PAIRS, {})
    with pytest.raises(UserError, match="no rows of the language 'fr'; it has ar, de"):
        read(path, rows, language="fr")


def test_multinli_says_contradictory_and_has_undecided_rows(path):
    rows = [
        "gold_label\tsentence1_parse\tsentence1\tsentence2",
        "contradictory\t(..)\tEr kam.\tEr ging.",
        "-\t(..)\ta\tb",
        "neutral\t(..)\tJa.\tNein.",
    ]
    assert read(path, rows) == (PLAIN_PAIRS, {NO_GOLD: 1})


@pytest.mark.parametrize("label", ["entailment_judgment", "entailment_label"])
def test_sick_is_a_source_of_entailment(path, label):
    rows = [
        f"pair_ID\tsentence_A\tsentence_B\trelatedness_score\t{label}",
        "1\tA dog runs\tA dog sits\t3.5\tCONTRADICTION",
        "2\tA dog runs\tAn animal runs\t4.5\tENTAILMENT",
    ]
    assert read(path, rows)[0] == [
        ("A dog runs", "A dog sits", "contradiction"),
        ("A dog runs", "An animal runs", "entailment"),
    ]


def test_quotation_marks_mean_nothing(path):
    rows = ['"So"\tsaid ""he""\tneutral', '"never closed\tx\tneutral', 'y\t"\tneutral']
    assert [pair[:2] for pair in read(path, rows)[0]] == [
        ('"So"', 'said ""he""'),
        ('"never closed', "x"),
        ("y", '"'),
    ]


def test_only_tabs_and_line_feeds_separate(path):
    (pair,) = read(path, ["a\u2028b\x0b c\td\x85e, f\tneutral"])[0]
    assert pair == ("a\u2028b\x0b c", "d\x85e, f", "neutral")


ORIGINAL_PAWS = [
    "id\tsentence1\tsentence2\tlabel",
    "1\tA b .\tB a .\t0",
    "2\tNS\tB a .\t1",
    "3\tA .\tNS\t0",
    "4\tNSA\tB .\t1",
]
PAWS_PAIRS = [
    *[("A b .", "B a .", "0"), ("NS", "B a .", "1"), ("A .", "NS", "0")],
    ("NSA", "B .", "1"),
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_paws_x_is_read_whole_in_both_layouts(path, end):
    pairs, dropped = read(path, ORIGINAL_PAWS, task="pawsx", end=end)
    assert (pairs, dropped) == (PAWS_PAIRS, {})
    assert [is_translated(pair) for pair in pairs] == [True, False, False, True]
    xtreme = [row.split("\t", 1)[1] for row in ORIGINAL_PAWS[1:]]
    assert read(path, xtreme, task="pawsx", end=end) == (PAWS_PAIRS, {})


def test_ns_is_a_sentence_like_others_in_xnli(path):
    assert read(path, ["NS\tb\tneutral"])[0] == [("NS", "b", "neutral")]


BROKEN = [
    # task     rows                                    line   what is said
    ("xnli",   [*PLAIN, "a\tb"],                       3, "no label, as XTREME's own"),
    ("xnli",   [*PLAIN, "a"],                          3, "1 fields"),
    ("xnli",   [*PLAIN, ""],                           3, "1 fields"),
    ("xnli",   [*PLAIN, "a\tb\tneutral\tx"],           3, "4 fields"),
    ("xnli",   [*PLAIN, "a\tb\t1"],                    3, "the label '1'"),
    ("xnli",   ["a\tb\tlabel"],                        1, "the label 'label'"),
    ("xnli",   [XNLI_HEADER, "de\tneutral\ta\tb"],     2, "4 fields"),
    ("pawsx",  [*ORIGINAL_PAWS, "5\ta\tb\t2"],         6, "the label '2'"),
    ("pawsx",  ["a\tb\tneutral"],                      1, "wanted one of 0, 1"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "rows", "number", "message"), BROKEN)
def test_a_broken_row_is_told_with_file_and_number(path, task, rows, number, message):
    with pytest.raises(UserError) as caught:
        read(path, rows, task=task)
    assert f"{path}, line {number} has" in str(caught.value)
    assert message in str(caught.value)
