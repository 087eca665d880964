"""What sources say of their licenses, in each of the ways that there are."""

import json
import zipfile

import pytest

from amber_jax.corpora.downloads import (
    MosesArchiveSource,
    RecordSource,
    TfdsSource,
    WikipediaSource,
)
from amber_jax.corpora.licenses import license_of
from amber_jax.corpora.sources import MosesSource, TextSource

SPDX = "SPDX-FileCopyrightText: 2024 A\nSPDX-License-Identifier: {}\n"


def data_set(folder, facts):
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(json.dumps(facts), "utf-8")
    return folder


def test_a_license_beside_a_file_goes_before_one_of_the_folder(tmp_path):
    (tmp_path / "LICENSE.txt").write_text("\n  Creative Commons Zero\n\nAnd so on\n")
    (tmp_path / "fr.txt.license").write_text(SPDX.format("CC-BY-4.0"))
    assert license_of(TextSource("en", tmp_path / "en.txt")) == "Creative Commons Zero"
    assert license_of(TextSource("fr", tmp_path / "fr.txt")) == "CC-BY-4.0"


def test_files_of_a_source_may_have_different_licenses(tmp_path):
    for code, name in (("en", "CC0-1.0"), ("fr", "ODC-By-1.0")):
        (tmp_path / f"{code}.txt.license").write_text(SPDX.format(name))
    source = MosesSource("en", "fr", tmp_path / "en.txt", tmp_path / "fr.txt")
    assert license_of(source) == "CC0-1.0; ODC-By-1.0"


def test_archives_hold_theirs(tmp_path):
    path = tmp_path / "Books.en-fr.txt.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Books.en-fr.en", "a\n")
        archive.writestr("LICENSE", "Free for personal,\neducational use\n")
    assert license_of(MosesArchiveSource("en", "fr", path)) == "Free for personal,"


@pytest.mark.parametrize(
    ("facts", "stated"),
    [
        ({"license": "cc-by-sa-4.0"}, "cc-by-sa-4.0"),
        ({"license": "", "redistributionInfo": {"license": "ODC-BY"}}, "ODC-BY"),
        ({"license": 3}, ""),
        ([], ""),
        ({}, ""),
    ],
)
def test_data_sets_hold_theirs(tmp_path, facts, stated):
    saved = data_set(tmp_path / "20231101.fr", facts)
    (saved / "0.parquet").touch()
    assert license_of(RecordSource("fr", saved)) == stated
    prepared = data_set(tmp_path / "wikipedia" / "1.0.0", facts)
    (prepared / "wikipedia-train.tfrecord-00000-of-00001").touch()
    assert license_of(TfdsSource("fr", tmp_path / "wikipedia")) == stated


def test_a_config_knows_better(tmp_path):
    dump = WikipediaSource("fr", tmp_path / "old" / "frwiki-pages-articles.xml.bz2")
    dump.path.parent.mkdir()
    assert license_of(dump) == "CC BY-SA 4.0"
    licenses = (("new/*", "CC0"), ("old/*.bz2", "GFDL"), ("*", "none"))
    assert license_of(dump, licenses) == "GFDL"


def test_nothing_stated_is_nothing(tmp_path):
    assert license_of(TextSource("fr", tmp_path / "fr.txt")) == ""
