"""The text a vocabulary is trained on: shares, repeats, determinism, bad input."""

import collections
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amber_jax.corpora import vocabulary
from amber_jax.corpora.downloads import RecordSource
from amber_jax.corpora.sources import TextSource
from amber_jax.corpora.vocabulary import draw_positions, sample_text
from amber_jax.errors import UserError

COUNTS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 40), min_size=1)


@given(COUNTS, st.integers(1, 200), st.floats(0, 1), st.integers(0, 3))
def test_positions_are_valid_and_no_sentence_is_favoured(counts, total, alpha, seed):
    drawn = draw_positions(counts, sentences=total, alpha=alpha, seed=seed)
    assert {*drawn} == {*counts}
    for language, positions in drawn.items():
        times = np.bincount(positions, minlength=counts[language])
        assert len(times) == counts[language]
        assert times.max() - times.min() <= 1
        assert (np.diff(positions) >= 0).all()
    sizes = sum(len(positions) for positions in drawn.values())
    assert abs(sizes - total) <= len(counts)


def test_shares_follow_the_smoothed_counts():
    counts = {"en": 10_000, "sw": 100}
    drawn = draw_positions(counts, sentences=1100, alpha=0.5, seed=0)
    assert {name: len(at) for name, at in drawn.items()} == {"en": 1000, "sw": 100}
    drawn = draw_positions(counts, sentences=1000, alpha=0.0, seed=0)
    assert {name: len(at) for name, at in drawn.items()} == {"en": 500, "sw": 500}


def test_the_draw_follows_the_seed():
    def draw(seed):
        return draw_positions({"en": 999}, sentences=99, alpha=1, seed=seed)["en"]

    assert np.array_equal(draw(0), draw(0))
    assert not np.array_equal(draw(0), draw(1))


def test_texts_in_other_formats_give_the_sentences_of_their_lines(tmp_path):
    texts = ["Un.\n\nDeux.", "", "Trois."]
    folder = tmp_path / "fr"
    (folder / "AA").mkdir(parents=True)
    for number, text in enumerate(texts):
        path = folder / "AA" / f"wiki_0{number}"
        path.write_text(json.dumps({"text": text}), "utf-8")
    (tmp_path / "fr.txt").write_text("Un.\nDeux.\nTrois.\n", "utf-8")
    plain, converted = (
        sample_text([source], [], sentences=9, alpha=1, seed=0)
        for source in (
            TextSource("fr", tmp_path / "fr.txt"),
            RecordSource("fr", folder),
        )
    )
    assert plain.available == {"fr": 3}
    assert converted == plain


def test_only_the_languages_that_are_named_are_drawn(inputs):
    sample = sample_text(*inputs, sentences=3, alpha=1, seed=0, languages=("de", "ru"))
    assert sample.available == {"ru": 1, "de": 1}
    assert {*sample.sentences} == {"Раз.", "Ja."}
    assert sample.rejects == {}  # en.txt has some, which nobody asked for
    with pytest.raises(UserError, match="no usable sentence of eo in"):
        sample_text(*inputs, sentences=3, alpha=1, seed=0, languages=("de", "eo"))


@pytest.fixture
def inputs(tmp_path):
    """English and Russian files, and a table of English and German."""
    (tmp_path / "en.txt").write_bytes(b"One.\nTwo.\r\n\xff\n\nThree\xe2\x80\xa8.\n")
    (tmp_path / "ru.txt").write_text("Раз.\n", encoding="utf-8")
    table = "key\ten\tde\n1\tYes.\tJa.\n2\tNo.\t\n"
    (tmp_path / "table.tsv").write_text(table, encoding="utf-8")
    return (
        [TextSource(name, tmp_path / f"{name}.txt") for name in ("en", "ru")],
        [tmp_path / "table.tsv"],
    )


def test_all_the_text_is_drawn_once_when_nothing_is_smoothed(inputs):
    sample = sample_text(*inputs, sentences=7, alpha=1, seed=0)
    english = ["One.", "Two.", "Three ."]
    assert sample.sentences == [*english, "Раз.", "Yes.", "Ja.", "No."]
    assert sample.available == sample.drawn == {"en": 5, "ru": 1, "de": 1}
    assert sample.rejects == {"not_utf8": 1, "empty": 1}


def test_probes_are_spread_evenly_over_what_is_drawn(inputs, monkeypatch):
    monkeypatch.setattr(vocabulary, "_PROBES", 2)
    sample = sample_text(*inputs, sentences=7, alpha=1, seed=0)
    assert sample.probes == {"en": ["One.", "Yes."], "ru": ["Раз."], "de": ["Ja."]}


def test_a_small_language_is_repeated(inputs):
    sample = sample_text(*inputs, sentences=9, alpha=0, seed=0)
    times = collections.Counter(sample.sentences)
    assert times["Раз."] == times["Ja."] == 3
    assert sample.drawn == {"en": 3, "ru": 3, "de": 3}


def test_a_language_without_text_is_refused(inputs, tmp_path):
    (tmp_path / "ru.txt").write_text("\n \n")
    with pytest.raises(UserError, match="no usable sentence of ru"):
        sample_text(*inputs, sentences=9, alpha=1, seed=0)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"absent\.txt"):
        sample_text(
            [TextSource("en", tmp_path / "absent.txt")],
            [],
            sentences=9,
            alpha=1,
            seed=0,
        )


def test_no_input_at_all_is_refused():
    with pytest.raises(UserError, match="no text to train on"):
        sample_text([], [], sentences=9, alpha=1, seed=0)


def test_overlong_lines_are_counted_and_left_out(tmp_path):
    (tmp_path / "en.txt").write_text("short\n" + "long " * 9999 + "\n")
    sample = sample_text(
        [TextSource("en", tmp_path / "en.txt")], [], sentences=1, alpha=1, seed=0
    )
    assert sample.sentences == ["short"] and sample.rejects == {"too_long": 1}


def test_files_without_a_line_are_named(inputs, tmp_path):
    texts, tables = inputs
    empty, header = tmp_path / "empty.txt", tmp_path / "header.tsv"
    empty.touch()
    header.write_text("key\ten\tde\n")
    files = [*texts, TextSource("en", empty)], [*tables, header]
    sample = sample_text(*files, sentences=7, alpha=1, seed=0)
    assert sample.empty == [empty, header]
    assert sample_text(*inputs, sentences=7, alpha=1, seed=0).empty == []
