"""A corpus built of files as they are downloaded, through every step."""

import bz2
import dataclasses
import json
import zipfile

import pytest
from corpora.formats.wikipedia_test import END, HEAD, multistream, page

from amber_jax.corpora.accounts import read_inputs
from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.downloads import (
    MosesArchiveSource,
    RecordSource,
    WikipediaSource,
)
from amber_jax.corpora.folder import folder_sources
from amber_jax.corpora.formats import wikipedia
from amber_jax.corpora.sources import TextSource, source_columns, source_pairs
from amber_jax.corpora.text import read_lines, read_many_way
from amber_jax.errors import UserError

ROWS = 60


def silent(*_):
    pass


@pytest.fixture(scope="module")
def downloads(sample, tmp_path_factory):
    """A dump with its index, the same as JSON lines, and an archive of pairs."""
    folder = tmp_path_factory.mktemp("downloads")
    (folder / "mono").mkdir()
    (folder / "parallel").mkdir()
    lines = [
        line.decode() for line in list(read_lines(sample / "mono" / "en.txt.xz"))[:300]
    ]
    lines = [line for line in lines if not {*"<>&[]{}'=*#:;|-"} & {*line}]
    texts = ["\n\n".join(lines[i : i + 3]) for i in range(0, len(lines), 3)]
    pages = [page(text + "&lt;ref&gt;r&lt;/ref&gt;") for text in texts]
    multistream(folder / "mono", [*pages, page("Talk.", ns=1)])
    records = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "mono" / "de.jsonl").write_text(records)
    _, rows = read_many_way(sample / "parallel_train.tsv.xz")
    rows = [row for row in rows if {"en", "fr"} <= {*row}][:ROWS]
    with zipfile.ZipFile(folder / "parallel" / "en-fr.txt.zip", "w") as archive:
        archive.writestr("README", "About.")
        for code in ("en", "fr"):
            text = "".join(f"{row[code]}\n" for row in rows)
            archive.writestr(f"S.en-fr.{code}", text)
    (folder / "parallel" / "LICENSE").touch()
    return folder


@pytest.fixture
def recipe_of(recipe):
    options = dataclasses.replace(recipe.options, parallel_as_text=False)
    return lambda sources: dataclasses.replace(
        recipe, sources=tuple(sources), options=options
    )


@pytest.mark.parametrize("part_bytes", [wikipedia.PART_BYTES, 2000])
def test_a_dump_gives_what_its_text_gives(
    downloads, recipe_of, tmp_path, monkeypatch, part_bytes
):
    monkeypatch.setattr(wikipedia, "PART_BYTES", part_bytes)
    content = folder_sources(downloads)
    assert [path.name for path in content.left] == ["LICENSE"]
    manifests = [
        build_corpus(
            recipe_of(content.sources),
            tmp_path / f"corpus-{processes}",
            processes=processes,
            report=silent,
            note=silent,
        )[0]
        for processes in (1, 2)
    ]
    assert manifests[0]["fingerprint"] == manifests[1]["fingerprint"]
    mono = manifests[0]["streams"]["mono"]
    assert mono["de"]["rejects"] | {"other_namespace": 1} == mono["fr"]["rejects"]
    assert mono["de"]["inputs"] + 1 == mono["fr"]["inputs"]
    facts = {fact.kind: fact for fact in read_inputs(tmp_path / "corpus-1")}
    assert facts["mosesarchive"].left_files == ["README"]
    assert facts["mosesarchive"].lines == ROWS
    assert facts["wikipedia"].kept == facts["record"].kept > 100
    assert len(facts["wikipedia"].files) == 2


def test_a_dump_that_is_cut_off_leaves_nothing_behind(recipe_of, tmp_path):
    dump = tmp_path / "frwiki-1-pages-articles.xml.bz2"
    dump.write_bytes(bz2.compress(f"{HEAD}{page('Un.')}{END}".encode()[:-30]))
    with pytest.raises(UserError, match="cut off"):
        build_corpus(
            recipe_of([WikipediaSource("fr", dump)]),
            tmp_path / "corpus",
            processes=1,
            report=silent,
            note=silent,
        )
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_sources_of_text_have_one_column_and_those_of_pairs_two(tmp_path):
    path = tmp_path / "a"
    for source in (WikipediaSource("fr", path), RecordSource("fr", path)):
        assert isinstance(source, TextSource)
        assert source_columns(source) == ("fr",)
        assert source_pairs(source, ("fr",)) == ()
    pairs = MosesArchiveSource("fr", "en", path)
    assert source_pairs(pairs, source_columns(pairs)) == (("en", "fr"),)
