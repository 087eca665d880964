"""The benchmark's dump: in the real format, with the text that its readers see."""

import collections
import json

import pytest

from amber_jax.corpora.conversion import Conversion
from amber_jax.corpora.downloads import WikipediaSource
from benchmarks import dumps, wikitext

SENTENCES = [f"Sentence {number} has an end and a middle." for number in range(50)]


def test_a_made_dump_reads_as_the_text_beside_it(tmp_path):
    text, dump = tmp_path / "a.txt", tmp_path / "made-multistream.xml.bz2"
    text.write_text("\n".join(SENTENCES))
    dumps.write_dump([text], dump, megabytes=1, language="en")
    facts = Conversion()
    source = WikipediaSource("en", dump)
    assert len(source.files()) == 2
    (part,) = source.parts()
    rows = [row for (row,) in part.rows(facts)]
    seen = dump.with_suffix(".jsonl").read_text().splitlines()
    expected = [json.loads(line)["text"] for line in seen]
    assert "\n".join(rows).rstrip("\n").split("\n\n") == expected
    assert {*rows} == {*SENTENCES, ""}
    pages = len(expected) + facts.left_out.total()
    assert facts.left_out["redirect"] == pages // 16
    assert facts.left_out.keys() == {"redirect", "other_namespace"}
    (row,) = wikitext.compare(dump, None)
    assert (row["exact paragraphs"], row["word recall"], row["of ours"]) == (1, 1, 1)


def test_what_is_kept_is_counted_by_paragraphs_and_words():
    ours, other, known = (
        collections.Counter(lines)
        for lines in (["a b", "c"], ["a b", "d e"], ["a b", "c", "f"])
    )
    row = wikitext.kept(other, ours, known)
    assert (row["paragraphs"], row["words"]) == (2, 4)
    assert row["ours of its words"] == pytest.approx(2 / 4)
    assert row["its of our words"] == pytest.approx(2 / 3)
    assert row["exact paragraphs"] == pytest.approx(1 / 3)
    assert row["word precision"] == row["word recall"] == pytest.approx(2 / 4)
