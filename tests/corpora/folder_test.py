"""Folders of text: what the names of files say."""

import pytest

from amber_jax.corpora.downloads import (
    MosesArchiveSource,
    RecordPairSource,
    RecordSource,
    WikimediaJsonSource,
    WikipediaSource,
    XcesSource,
)
from amber_jax.corpora.folder import folder_sources
from amber_jax.corpora.sources import (
    ManyWaySource,
    MosesSource,
    TextSource,
    TmxSource,
    TsvSource,
    source_columns,
    source_pairs,
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
    sources, held_out, _ = folder_sources(folder)
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
    sources, *_ = folder_sources(tmp_path)
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


@pytest.mark.parametrize(
    "code",
    [
        *("zh_CN", "pt_BR", "sr_Latn", "zh_yue", "zh_min_nan", "be_x_old", "es_419"),
        *("sr@latin", "ca@valencia", "ze_zh", "cmn_Hans", "bat_smg"),
    ],
)
def test_opus_codes_name_files_and_streams(tmp_path, code):
    touch(tmp_path / "parallel", f"GNOME.en-{code}.txt.zip", f"a.en-{code}.en")
    touch(tmp_path / "parallel", f"a.en-{code}.{code}", f"en-{code}.tmx.gz")
    sources = folder_sources(tmp_path, ("en", code)).sources
    assert len(sources) == 3
    for source in sources:
        assert source_pairs(source, source_columns(source)) == (("en", code),)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_downloads_are_known_by_the_names_that_they_come_with(tmp_path):
    dumps = (
        "frwiki-20240101-pages-articles.xml.bz2",
        "enwiki-20240101-pages-articles1.xml-p1p41242.bz2",
        "zh_yuewiki-latest-pages-articles-multistream.xml.bz2",
        "zh_classicalwiki-20240101-pages-articles.xml",
        "simplewiki-20240101-pages-articles.xml.zst",
        "swwikibooks-20240101-pages-articles.xml.bz2",
    )
    files = ("news.fr.jsonl.gz", "sw.parquet", "sw.arrow")
    indexes = (
        "dewiki-20240101-cirrussearch-content.json.gz",
        "elwiki-NS0-20240101-ENTERPRISE-HTML.json.tar.gz",
    )
    touch(tmp_path / "mono", *dumps, *files, *indexes, "20231101.ar/a.parquet")
    touch(
        tmp_path / "mono",
        "zh_yuewiki-latest-pages-articles-multistream-index.txt.bz2",
    )
    mono = tmp_path / "mono"
    languages = ("fr", "en", "zh_yue", "lzh", "en", "sw")
    assert set(folder_sources(tmp_path).sources) == {
        *(
            WikipediaSource(language, mono / name)
            for language, name in zip(languages, dumps, strict=True)
        ),
        RecordSource("ar", mono / "20231101.ar"),
        *(RecordSource(name.split(".")[-2], mono / name) for name in files[1:]),
        RecordSource("fr", mono / files[0]),
        WikimediaJsonSource("de", mono / indexes[0]),
        WikimediaJsonSource("el", mono / indexes[1]),
    }


def test_folders_of_data_sets_are_named_as_their_configs(tmp_path):
    folders = ("20231101.zh-min-nan", "20231101.simple", "news.pt_BR", "sw")
    for name in folders:
        touch(tmp_path / "mono" / name, "train-00000-of-00001.parquet")
    languages = [source.language for source in folder_sources(tmp_path).sources]
    assert languages == ["en", "zh-min-nan", "pt_BR", "sw"]
    touch(tmp_path / "mono" / "my_texts", "a.parquet")
    with pytest.raises(UserError, match="my_texts: wanted a name like"):
        folder_sources(tmp_path)


def test_of_dumps_with_the_same_pages_one_is_taken(tmp_path):
    names = (
        "frwiki-1-pages-articles.xml.bz2",
        "frwiki-1-pages-articles-multistream.xml.bz2",
        "frwiki-1-pages-articles-multistream1.xml-p1p5.bz2",
        "dewiki-1-pages-articles.xml.bz2",
        "dewiki-1-pages-articles1.xml-p1p5.bz2",
        "dewiki-1-pages-articles-multistream1.xml-p1p5.bz2",
        "dewiki-1-pages-articles-multistream12.xml-p6p9.bz2",
        "dewiki-2-pages-articles.xml.bz2",
    )
    touch(tmp_path / "mono", *names)
    sources, _, left = folder_sources(tmp_path)
    taken = {source.path.name for source in sources}
    assert taken == {names[1], *names[5:]}
    assert {path.name for path in left} == {*names} - taken


def test_a_dump_without_a_name_says_its_language_itself(tmp_path):
    dump = tmp_path / "mono" / "pages-articles.xml"
    dump.parent.mkdir()
    dump.write_text('<mediawiki xml:lang="eo"><siteinfo></siteinfo></mediawiki>')
    assert folder_sources(tmp_path).sources == (WikipediaSource("eo", dump),)


def test_what_opus_gives_is_known_and_the_rest_left_and_listed(tmp_path):
    touch(
        tmp_path / "parallel",
        *("en-zh_CN.txt.zip", "MultiUN_v1_moses_ar-en.txt.zip"),
        *("Books_latest_xml_en-fi.xml.gz", "Books_latest_xml_en.zip"),
        *("Books_latest_xml_fi.zip", "twin.en-sw.xml.gz", "README", "LICENSE.txt"),
        *("Europarl.de-en.de", "Europarl.de-en.en", "Europarl.de-en.ids", "a.md"),
        *("web.en-th.jsonl", "news.en-tr/state.json", "sr_Latn-en.parquet"),
    )
    touch(tmp_path / "mono", "frwiki-20240101-sha1sums.txt", ".hidden", "en.txt")
    touch(tmp_path / "mono", "frwiki-20240101-page.sql.gz")
    parallel = tmp_path / "parallel"
    sources, _, left = folder_sources(tmp_path)
    assert set(sources) == {
        TextSource("en", tmp_path / "mono" / "en.txt"),
        MosesArchiveSource("en", "zh_CN", parallel / "en-zh_CN.txt.zip"),
        MosesArchiveSource("ar", "en", parallel / "MultiUN_v1_moses_ar-en.txt.zip"),
        XcesSource(
            *("en", "fi"),
            *(parallel / f"Books_latest_xml_{end}" for end in ("en-fi.xml.gz",)),
            *(parallel / f"Books_latest_xml_{code}.zip" for code in ("en", "fi")),
        ),
        MosesSource(
            "de", "en", parallel / "Europarl.de-en.de", parallel / "Europarl.de-en.en"
        ),
        RecordPairSource("en", "th", parallel / "web.en-th.jsonl"),
        RecordPairSource("en", "tr", parallel / "news.en-tr"),
        RecordPairSource("sr_Latn", "en", parallel / "sr_Latn-en.parquet"),
    }
    assert sorted(path.name for path in left) == [
        *(".hidden", "Europarl.de-en.ids", "LICENSE.txt", "README", "a.md"),
        *(
            "frwiki-20240101-page.sql.gz",
            "frwiki-20240101-sha1sums.txt",
            "twin.en-sw.xml.gz",
        ),
    ]


def test_only_the_languages_that_are_named_are_taken(folder):
    sources, held_out, _ = folder_sources(folder, ("en", "sw", "ru"))
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
    sources, *_ = folder_sources(folder, ("fr", "sw"))
    assert not any(isinstance(source, ManyWaySource) for source in sources)


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
