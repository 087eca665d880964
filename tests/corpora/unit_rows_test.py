"""A unit of work: one slice in; rows, leftovers and counts out."""

import dataclasses

import pytest

from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.filters import sentence_hash
from amber_jax.corpora.packing import taken_apart
from amber_jax.corpora.plain import plain_file
from amber_jax.corpora.screening import Screen
from amber_jax.corpora.text import LINE_CAP_BYTES
from amber_jax.corpora.unit_rows import BuildOptions, process_unit
from amber_jax.corpora.units import Unit, cut_units

OPTIONS = BuildOptions(
    row_length=16,
    max_pairs=3,
    rows_per_shard=2,
    alpha=0.7,
    max_side_tokens=6,
    cut_long_sides=False,
    max_length_ratio=3.0,
    max_line_bytes=200,
    unit_bytes=1 << 20,
    parallel_as_text=False,
)


@pytest.fixture
def work(tmp_path, words):
    """Runs lines of a table through one unit; returns stream -> (pairs, part)."""

    def work(*contents, columns, pairs, held_out=(), **changes):
        files = []
        for number, content in enumerate(contents):
            path = tmp_path / f"{number}.txt"
            path.write_bytes(content)
            files.append(plain_file(path, tmp_path / "unused"))
        (slices,) = cut_units(files, unit_bytes=1 << 20)
        unit = Unit(0, slices, columns, pairs)
        options = dataclasses.replace(OPTIONS, **changes)
        hashes = frozenset(map(sentence_hash, held_out))
        screen = Screen(
            max_bytes=options.max_line_bytes,
            cleaning=options.cleaning,
            held_out=hashes,
        )
        parts = process_unit(unit, options, words, screen, {})
        return {key: (sorted_pairs(part), part) for key, part in parts.items()}

    return work


def sorted_pairs(part):
    pairs = [
        *taken_apart(part.rows, row_length=16),
        *taken_apart(part.left, row_length=16),
    ]
    return sorted(pairs)


def test_two_columns_become_pairs_and_every_other_line_a_reason(work):
    lines = (
        b"#7 #8\t#9\n"
        b"#10\t#11 #12\r\n"
        b"\t#9\n"
        b"#9\t \n"
        b"#9\n"
        b"#9\t#9\t#9\n"
        b"#9\t#9\n"
        b"\xff\t#9\n"
        b"#9\t\0\n"
        b"#9\t#1 #1 #1 #1\n"
        b"#9\t#1 #1 #1 #1 #1 #1 #1\n"
        b"Held Out\t#9\n"
        b"#9\t" + b"x" * 201 + b"\n"
        b"" + b"x" * (LINE_CAP_BYTES + 5) + b"\n"
    )
    streams = work(
        lines, columns=("en", "fr"), pairs=(("en", "fr"),), held_out=["held out"]
    )
    ((key, (pairs, part)),) = streams.items()
    assert key == ("pair", "en-fr")
    assert pairs == [([7, 8], [9]), ([10], [11, 12])]
    assert part.inputs == 14
    assert part.rejects == {
        "empty_side": 2, "field_count": 2, "identical_sides": 1, "not_utf8": 1,
        "nul": 1, "length_ratio": 1, "too_long": 3, "evaluation_sentence": 1,
    }  # fmt: skip


def test_a_line_of_its_columns_codes_is_a_header_and_no_pair(work):
    lines = b"EN\tfr\n#1\t#2\nen\tfr\n"
    streams = work(lines, columns=("en", "fr"), pairs=(("en", "fr"),))
    pairs, part = streams["pair", "en-fr"]
    assert (pairs, part.inputs) == ([([1], [2])], 3)
    assert part.rejects == {"header": 2}
    assert work(b"en\n", columns=("en",), pairs=())["mono", "en"][1].rejects == {}


def test_two_files_stay_aligned_whatever_is_in_their_lines(work):
    src = "#1\u2028#2\n\n#3\r#4\n#5\x0b\n".encode()
    tgt = b"#11\n#12\n#13\n#14"
    streams = work(src, tgt, columns=("en", "fr"), pairs=(("en", "fr"),))
    pairs, part = streams["pair", "en-fr"]
    assert pairs == [([1, 2], [11]), ([3, 4], [13]), ([5], [14])]
    assert part.rejects == {"empty_side": 1}


def test_running_text_pairs_neighbors_and_stops_at_every_gap(work):
    lines = b"#1 #2\n#3\n#4\n\n#5\n\xff\n#6\nHELD out\n#7\n#8"
    streams = work(lines, columns=("en",), pairs=(), held_out=["Held out"])
    pairs, part = streams["mono", "en"]
    assert pairs == [([1, 2], [3]), ([4], []), ([5], []), ([6], []), ([7], [8])]
    assert part.inputs == 10
    assert part.rejects == {"empty": 1, "not_utf8": 1, "evaluation_sentence": 1}


def test_long_lines_of_text_are_cut_into_pieces(work):
    line = b" ".join(b"#%d" % n for n in range(5, 20))
    streams = work(line, columns=("en",), pairs=())
    pairs, _ = streams["mono", "en"]
    assert pairs == [([*range(5, 11)], [*range(11, 17)]), ([17, 18], [19])]


def test_long_sides_may_lose_their_end_but_serve_as_whole_text(work):
    lines = b"#1 #2 #3 #4 #5 #6 #7 #8\t#11 #12 #13\n#9\t#1 #1 #1 #1\n"
    streams = work(
        lines,
        columns=("en", "fr"),
        pairs=(("en", "fr"),),
        cut_long_sides=True,
        parallel_as_text=True,
    )
    pairs, part = streams["pair", "en-fr"]
    assert pairs == [([1, 2, 3, 4, 5, 6], [11, 12, 13])]
    assert part.rejects == {"length_ratio": 1}
    assert streams["mono", "en"][0] == [([1, 2, 3, 4], [5, 6, 7, 8])]


MANY_WAY = b"k1\t#1\t#11\t#21\nk2\t#2\t#12\t\nk3\t#3\t\t#23\nk4\t#4\t#14\n"


def test_many_way_rows_pair_the_pivot_with_every_other_language(work):
    columns, pairs = ("key", "en", "de", "fr"), (("en", "de"), ("en", "fr"))
    streams = work(MANY_WAY, columns=columns, pairs=pairs)
    assert streams["pair", "en-de"][0] == [([1], [11]), ([2], [12])]
    assert streams["pair", "en-fr"][0] == [([1], [21]), ([3], [23])]
    for _, part in streams.values():
        assert part.inputs == 4
        assert part.rejects == {"empty_side": 1, "field_count": 1}


def test_sides_of_kept_pairs_serve_as_text_once_per_line(work):
    columns, pairs = ("key", "en", "de", "fr"), (("en", "de"), ("en", "fr"))
    streams = work(MANY_WAY, columns=columns, pairs=pairs, parallel_as_text=True)
    assert streams["mono", "en"][0] == [([1], [2]), ([3], [])]
    assert streams["mono", "de"][0] == [([11], [12])]
    assert streams["mono", "fr"][0] == [([21], []), ([23], [])]
    assert [streams["mono", code][1].inputs for code in ("en", "de", "fr")] == [3, 2, 2]


def test_cleaning_gives_its_reasons_to_texts_and_pairs(work):
    cleaning = Cleaning(min_characters=3, min_script=0.5)
    lines = "#1 cat\t#2 кот\n#3 кот\t#4 cat\n#5 dog\t#6 cat\n#7\t#8 кот\n".encode()
    streams = work(
        lines, columns=("en", "ru"), pairs=(("en", "ru"),), cleaning=cleaning
    )
    pairs, part = streams["pair", "en-ru"]
    assert [(x[0], y[0]) for x, y in pairs] == [(1, 2)]
    assert part.rejects == {"swapped_sides": 1, "other_script": 1, "too_short": 1}
    lines = "#1 cat\n#2 кот\n#3\n".encode()
    pairs, part = work(lines, columns=("en",), pairs=(), cleaning=cleaning)[
        "mono", "en"
    ]
    assert [(x[0], y) for x, y in pairs] == [(1, [])]
    assert part.rejects == {"other_script": 1, "too_short": 1}


def test_paragraphs_may_be_cut_into_sentences_that_are_neighbors(work):
    lines = b"#1 #2. #3 #4! #5\n#6. \n\n#7 mr. #8.\n"
    split = work(lines, columns=("en",), pairs=(), split_sentences=True)
    pairs, part = split["mono", "en"]
    assert [[len(x), len(y)] for x, y in pairs] == [[2, 2], [1, 1], [3, 0]]
    assert (part.inputs, part.rejects) == (4, {"empty": 1})
    assert len(work(lines, columns=("en",), pairs=())["mono", "en"][0]) == 2


def test_an_empty_file_makes_an_empty_part_of_no_stream(work):
    assert work(b"", columns=("en",), pairs=()) == {}
