"""What the inputs of a corpus may be called."""

from pathlib import Path

import pytest

from amber_jax.corpora.sources import (
    ManyWaySource,
    MosesSource,
    TextSource,
    TmxSource,
    TsvSource,
    source_columns,
    source_files,
    source_pairs,
)
from amber_jax.errors import UserError

HERE = Path("a.txt")


@pytest.fixture
def many_way(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(b"key\ten\tde\tfr\n")
    return path


def pairs_of(source):
    return source_pairs(source, source_columns(source))


def test_every_kind_of_source_names_its_pairs(many_way):
    assert pairs_of(TextSource("en", HERE)) == ()
    assert pairs_of(MosesSource("en", "de", HERE, HERE)) == (("en", "de"),)
    assert pairs_of(TsvSource("sr_Latn", "zh-Hans", HERE)) == (("sr_Latn", "zh-Hans"),)
    assert pairs_of(TmxSource("en", "de", HERE)) == (("en", "de"),)
    assert pairs_of(ManyWaySource(many_way)) == (("en", "de"), ("en", "fr"))
    assert pairs_of(ManyWaySource(many_way, "fr", ("de",))) == (("de", "fr"),)


@pytest.mark.parametrize(
    ("first", "second"),
    [("en", "de"), ("en", "zh"), ("de", "fr"), ("en_GB", "ar"), ("eng", "deu")],
)
def test_a_pair_is_one_stream_whichever_side_comes_first(first, second):
    for source in (TsvSource, TmxSource):
        assert pairs_of(source(first, second, HERE)) == ((first, second),)
        assert pairs_of(source(second, first, HERE)) == ((first, second),)
    assert pairs_of(MosesSource(second, first, HERE, HERE)) == ((first, second),)


def test_the_files_of_a_source_are_in_column_order():
    assert source_files(MosesSource("en", "de", HERE, Path("b"))) == (HERE, Path("b"))
    assert source_files(TextSource("en", HERE)) == (HERE,)


def test_a_language_that_a_many_way_file_lacks_is_named(many_way):
    with pytest.raises(
        UserError, match="no column 'it'; its header names key en de fr"
    ):
        pairs_of(ManyWaySource(many_way, languages=("it",)))
    with pytest.raises(UserError, match="no column 'xx'"):
        pairs_of(ManyWaySource(many_way, pivot="xx"))


@pytest.mark.parametrize("code", ["../../etc", "", "en/us", "e", "français", "en "])
def test_a_code_that_cannot_name_a_file_is_refused(code):
    with pytest.raises(UserError, match="is no language code"):
        pairs_of(TextSource(code, HERE))
    with pytest.raises(UserError, match="is no language code"):
        pairs_of(TsvSource("en", code, HERE))


def test_a_pair_needs_two_languages(many_way):
    with pytest.raises(UserError, match="no pair of two different languages"):
        pairs_of(TsvSource("en", "en", HERE))
    with pytest.raises(UserError, match="no pair of two different languages"):
        pairs_of(ManyWaySource(many_way, languages=("en",)))
