"""The data card against the corpus that it describes."""

import pytest
import tiny_run
from quiet_build import silent

from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.recipe import Recipe
from amber_jax.corpora.sources import TextSource, TsvSource
from amber_jax.corpora.unit_rows import BuildOptions
from amber_jax.report.data_card import write_data_card

OPTIONS = BuildOptions(
    row_length=32,
    max_pairs=3,
    rows_per_shard=4,
    alpha=0.7,
    max_side_tokens=14,
    cut_long_sides=True,
    max_length_ratio=4.0,
    max_line_bytes=1 << 10,
    unit_bytes=1 << 20,
    parallel_as_text=False,
)


@pytest.fixture
def corpus(tmp_path):
    """Of each 4 words 1 is unknown; de has 4 times the words of en; 10 pairs of 50."""
    tiny_run.save_tokenizer(tmp_path / "t")
    text, more, pairs = (
        tmp_path / f"{name}" for name in ("en.txt", "a|b.txt", "p.tsv")
    )
    text.write_text("1 2 3 word\n" * 64 + "\n")
    more.write_text("1 2 3 word\n" * 256)
    pairs.write_text("5 6\t7 8\n" * 40 + "9\t\n" * 10)
    sources = (
        *(TextSource("en", text), TextSource("de", more)),
        TsvSource("en", "de", pairs),
    )
    recipe = Recipe(sources, (), tmp_path / "t", OPTIONS)
    build_corpus(
        recipe, tmp_path / "c", processes=1, report=silent, note=lambda _: None
    )
    return tmp_path / "c"


def test_the_card_says_what_each_language_has(corpus):
    markdown, page = (path.read_text("utf-8") for path in write_data_card(corpus))
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split("|") for line in markdown.splitlines())
        if len(cells) > 10
    }
    sources, lines, kept, *_ = rows["en"]
    assert (sources, lines, kept) == ("1", "65", "98.5%")
    share, rate, unknown, tokens_per_word, lengths = rows["en"][5:]
    assert float(share) == pytest.approx(0.2, abs=0.03)
    assert float(rate) == pytest.approx(1 / (1 + 4**0.7), abs=0.03)
    assert (unknown, tokens_per_word, lengths) == ("25.00%", "1.00", "4 / 4 / 4")
    assert rows["en-de"][1:3] == ["50", "80.0%"]
    assert "| empty_side | 10 | 2.70% | 9" in markdown
    assert "a\\|b.txt" in markdown
    assert "a|b.txt" in page
    assert "<h1>Corpus c</h1>" in page
    assert page.count("data:image/png") == markdown.count("](card_") == 2


def test_the_card_is_the_same_each_time(corpus):
    first = [path.read_bytes() for path in write_data_card(corpus)]
    assert [path.read_bytes() for path in write_data_card(corpus)] == first
