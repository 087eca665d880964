"""Why pairs are left out, row by row."""

import lzma

import pytest

from amber_jax.corpora.filters import (
    held_out_sentences,
    pair_text_reason,
    pair_token_reason,
    sentence_hash,
)

YES, JA = ("Yes.", None), ("Ja.", None)
EMPTY, NUL = (None, "empty"), (None, "nul")
HELD_OUT = (None, "evaluation_sentence")
TEXT_REASONS = [
    # source  target    reason
    (YES,     JA,       None),
    (EMPTY,   JA,       "empty_side"),
    (YES,     EMPTY,    "empty_side"),
    (YES,     NUL,      "nul"),
    (NUL,     EMPTY,    "nul"),
    (YES,     YES,      "identical_sides"),
    (HELD_OUT, JA,      "evaluation_sentence"),
    (EMPTY,   HELD_OUT, "evaluation_sentence"),
]  # fmt: skip

TOKEN_REASONS = [
    # tokens of source and target, reason
    (4, 4, None),
    (2, 6, None),
    (2, 7, "length_ratio"),
    (7, 2, "length_ratio"),
    (9, 8, "too_long"),   # the row: 9 + 8 + 3 = 20 tokens fit, side at most 8
    (8, 8, None),
    (0, 4, "empty_side"),
]  # fmt: skip


@pytest.mark.parametrize(("src", "tgt", "reason"), TEXT_REASONS)
def test_pairs_of_texts(src, tgt, reason):
    assert pair_text_reason(src, tgt) == reason


@pytest.mark.parametrize(("src", "tgt", "reason"), TOKEN_REASONS)
def test_pairs_of_tokens(src, tgt, reason):
    limits = {"row_length": 20, "max_side_tokens": 8, "max_length_ratio": 3.0}
    assert pair_token_reason([5] * src, [5] * tgt, **limits) == reason


def test_a_pair_that_does_not_fit_a_row_is_too_long():
    limits = {"row_length": 20, "max_side_tokens": 16, "max_length_ratio": 3.0}
    assert pair_token_reason([5] * 9, [5] * 8, **limits) is None
    assert pair_token_reason([5] * 9, [5] * 9, **limits) == "too_long"


def test_evaluation_files_are_read_line_by_line_cell_by_cell(tmp_path):
    lines, table, treebank = (tmp_path / n for n in ("a.deu", "b.tsv.xz", "c.conllu"))
    lines.write_bytes(b"Ein Satz.\r\n\n\xff\n")
    table.write_bytes(lzma.compress(b"key\ten\tfr\n1\tOne.\tUn.\n"))
    treebank.write_bytes(
        b"# text = Dogs bark.\n# text_en = They do.\n1\tDogs\tdog\tNOUN\n"
    )
    hashes = held_out_sentences([lines, table, treebank])
    expected = [
        "Ein Satz.",
        "key",
        "en",
        "fr",
        "1",
        "One.",
        "Un.",
        "Dogs bark.",
        "They do.",
    ]
    assert hashes == {sentence_hash(text) for text in expected}
