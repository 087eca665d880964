"""Folders of text: what the names of files say."""

import pytest

from amber_jax.corpora.folder import folder_sources
from amber_jax.corpora.sources import (
    ManyWaySource,
    MosesSource,
    TextSource,
    TmxSource,
    TsvSource,
)
from amber_jax.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """One file of every kind."""
    for name in (
        *("mono/fr.txt", "mono/sw.txt.xz", "mono/news.2024.fr.txt.gz"),
        *("parallel/en-fr.tsv.gz", "parallel/memory.de-en.tmx"),
        *("parallel/MultiUN.en-ru.en.gz", "parallel/MultiUN.en-ru.ru.gz"),
        "held_out/test.tsv",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    many = tmp_path / "parallel" / "ntrex.tsv"
    many.write_text("key\ten\tde\tsw\n", encoding="utf-8")
    return tmp_path


def test_every_name_says_what_the_file_is(folder):
    sources, held_out = folder_sources(folder)
    mono, parallel = folder / "mono", folder / "parallel"
    assert sources == (
        TextSource("fr", mono / "fr.txt"),
        TextSource("fr", mono / "news.2024.fr.txt.gz"),
        TextSource("sw", mono / "sw.txt.xz"),
        MosesSource(
            "en",
            "ru",
            parallel / "MultiUN.en-ru.en.gz",
            parallel / "MultiUN.en-ru.ru.gz",
        ),
        TsvSource("en", "fr", parallel / "en-fr.tsv.gz"),
        TmxSource("de", "en", parallel / "memory.de-en.tmx"),
        ManyWaySource(parallel / "ntrex.tsv", "en", ("de", "sw")),
    )
    assert held_out == (folder / "held_out/test.tsv",)


def test_codes_may_have_subtags_and_endings_capitals(tmp_path):
    names = (
        *("mono/sr_Latn.txt.GZ", "mono/news.pt_br.txt"),
        *("parallel/x.en-zh_cn.tmx", "parallel/es_419-zh_Hans_CN.tsv.Xz"),
        *("parallel/T.en-zh_CN.en.gz", "parallel/T.en-zh_CN.zh_CN.gz"),
    )
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    sources, _ = folder_sources(tmp_path)
    moses = [tmp_path / name for name in names[-2:]]
    assert set(sources) == {
        TextSource("sr_Latn", tmp_path / names[0]),
        TextSource("pt_br", tmp_path / names[1]),
        TmxSource("en", "zh_cn", tmp_path / names[2]),
        TsvSource("es_419", "zh_Hans_CN", tmp_path / names[3]),
        MosesSource("en", "zh_CN", *moses),
    }
    assert len(folder_sources(tmp_path, ("en", "zh_cn"))[0]) == 1


@pytest.mark.parametrize("side", ["en", "fr"])
def test_half_of_a_moses_pair_is_refused_with_the_half_that_lacks(tmp_path, side):
    other = {"en": "fr", "fr": "en"}[side]
    path = tmp_path / "parallel" / f"Europarl.en-fr.{side}.gz"
    path.parent.mkdir()
    path.touch()
    with pytest.raises(UserError) as caught:
        folder_sources(tmp_path)
    assert str(path) in str(caught.value)
    assert f"Europarl.en-fr.{other}.gz" in str(caught.value)
    with pytest.raises(UserError, match="no file of de"):
        folder_sources(tmp_path, ("de",))  # of other languages than the half's


def test_only_the_languages_that_are_named_are_taken(folder):
    sources, held_out = folder_sources(folder, ("en", "sw", "ru"))
    parallel = folder / "parallel"
    assert sources == (
        TextSource("sw", folder / "mono" / "sw.txt.xz"),
        MosesSource(
            "en",
            "ru",
            parallel / "MultiUN.en-ru.en.gz",
            parallel / "MultiUN.en-ru.ru.gz",
        ),
        ManyWaySource(parallel / "ntrex.tsv", "en", ("sw",)),
    )
    assert held_out  # whatever their language


def test_many_way_tables_need_their_pivot_among_the_languages(folder):
    sources, _ = folder_sources(folder, ("fr", "sw"))
    assert not any(isinstance(one, ManyWaySource) for one in sources)


@pytest.mark.parametrize("languages", [(), ("en", "fr")])
def test_a_table_whose_first_line_names_no_languages_is_refused(folder, languages):
    path = folder / "parallel" / "en_fr.tsv"  # not en-fr.tsv
    path.write_text("Hello there.\tBonjour.\n", encoding="utf-8")
    with pytest.raises(UserError, match="or a name like en-fr.tsv") as caught:
        folder_sources(folder, languages)
    assert str(path) in str(caught.value)


def test_a_language_that_no_file_has_is_named(folder):
    with pytest.raises(UserError, match="no file of eo, tlh; "):
        folder_sources(folder, ("fr", "tlh", "eo"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mono/notes.md", "wanted a name like"),
        ("mono/my_notes.txt", "wanted a name like"),
        ("parallel/en-fr.txt", "wanted a name like"),
        ("parallel/news.tsv", "wanted key<TAB>en<TAB>de"),
    ],
)
def test_a_name_or_header_that_says_nothing_is_refused(tmp_path, name, words):
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=words) as caught:
        folder_sources(tmp_path)
    assert str(tmp_path / name) in str(caught.value)
