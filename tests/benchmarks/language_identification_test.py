"""Sentences by language, their judgment, and what docs and package make of it."""

import lzma
import re
from pathlib import Path

from amber_jax.corpora.cleaning.identification import JUDGED, Identification, label
from benchmarks.language_identification import held_sentences, judge

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"\| (\w+) +\| +\d+ \| ([\d.]+)% +\| ([\d.]+)% +\|")


def test_the_languages_that_may_be_refused_are_those_of_the_table():
    table = ROW.findall((ROOT / "docs" / "data.md").read_text("utf-8"))
    assert len(table) > 50
    good = {
        label(language)
        for language, right, left_out in table
        if float(right) >= 90 and float(left_out) < 1
    }
    assert good == JUDGED


def test_sentences_are_found_by_their_files_names_and_columns(tmp_path):
    (tmp_path / "mono" / "news").mkdir(parents=True)
    (tmp_path / "parallel").mkdir()
    lines = [f"{n:02}. This is a line" for n in range(10)]
    text = "\n".join(["short", *lines, ""])
    (tmp_path / "mono" / "news" / "en.txt.xz").write_bytes(lzma.compress(text.encode()))
    row = "key\ten\tde\n1\tAnother sentence\tNoch ein Satz hier\n"
    (tmp_path / "parallel" / "all.tsv").write_text(row)
    assert held_sentences(tmp_path, 2, 10) == {
        "de": ["Noch ein Satz hier"],
        "en": [lines[0], lines[5], "Another sentence"],
    }


def test_shares_of_right_and_of_surely_wrong():
    german = "Die Bibliothek öffnet um neun und schließt um sechs Uhr abends."
    identification = Identification()
    digits = "1 2 3 4 5 6 7 8 9 10"  # in any language as probably as in another
    assert judge("de", [german], identification) == (1.0, 0.0)
    assert judge("en", [german, german], identification) == (0.0, 1.0)
    assert judge("en", [german, digits], identification)[1] == 0.5
