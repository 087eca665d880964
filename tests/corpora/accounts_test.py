"""What inputs gave, what to expect of them, and why a stream gets no text."""

import dataclasses
import io
import re
from pathlib import Path

import pytest
from quiet_build import silent
from rich.console import Console

from amber_jax.corpora.accounts import file_names, read_inputs
from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.records import open_corpus
from amber_jax.corpora.sources import (
    ManyWaySource,
    MosesSource,
    TextSource,
    TmxSource,
    TsvSource,
)
from amber_jax.corpora.summary import summary
from amber_jax.errors import UserError


def test_files_of_one_name_are_called_by_as_many_folders_as_it_takes():
    paths = ["a/wiki/fr.txt", "a/books/fr.txt", "b/books/fr.txt", "a/wiki/de.txt"]
    names = ["wiki/fr.txt", "a/books/fr.txt", "b/books/fr.txt", "de.txt"]
    of_path = file_names(map(Path, paths))
    assert [of_path[Path(path)] for path in paths] == names


def test_a_build_tells_what_to_expect_before_it_tokenizes(recipe, tmp_path):
    messages = []
    manifest, _ = build_corpus(
        recipe,
        tmp_path / "c",
        processes=1,
        report=lambda stage, done, total: messages.append(stage),
        note=messages.append,
    )
    (line,) = [text for text in messages if "en-fr" in text]
    assert messages.index("read") < messages.index(line) < messages.index("tokenize")
    wanted = {
        name: facts["rows"]
        for streams in manifest["streams"].values()
        for name, facts in streams.items()
    }
    expected = re.findall(r"([a-z-]+) ([0-9,]+)(?=,|$)", line, re.M)
    assert {name for name, _ in expected} == {*wanted}
    for name, count in expected:
        assert int(count) == pytest.approx(wanted[name], rel=0.5, abs=8)


USELESS = {
    "empty.txt": (b"", "empty"),
    "three.tsv": (b"One.\tUn.\tCC\nTwo.\tDeux.\tCC\n", "field_count 2 of 2"),
    "same.tsv": (b"One.\tOne.\nTwo.\t\n", "empty_side 1, identical_sides 1 of 2"),
    "latin.txt": (b"caf\xe9\nd\xe9j\xe0\n", "not_utf8 2 of 2"),
    "codes.tmx": (
        b'<tmx><body><tu><tuv xml:lang="eng"><seg>Yes.</seg></tuv>'
        b'<tuv xml:lang="fra"><seg>Oui.</seg></tuv></tu></body></tmx>',
        "eng, fra",
    ),
    "header.tsv": (b"key\ten\tfr\n", "empty"),
}


@pytest.mark.parametrize("name", USELESS)
def test_a_stream_without_text_ends_the_build_early_and_says_why(
    recipe, tmp_path, name
):
    path = tmp_path / name
    content, reason = USELESS[name]
    path.write_bytes(content)
    source = {
        ".txt": TextSource("fr", path),
        ".tsv": TsvSource("en", "fr", path),
        ".tmx": TmxSource("en", "fr", path),
    }[path.suffix]
    if name == "header.tsv":
        source = ManyWaySource(path)
    sources = (recipe.sources[0], source)
    stages = []
    with pytest.raises(UserError) as caught:
        build_corpus(
            dataclasses.replace(recipe, sources=sources),
            tmp_path / "c",
            processes=1,
            report=lambda stage, done, total: stages.append(stage),
        )
    for words in (str(path), reason, " fr" if path.suffix == ".txt" else "en-fr"):
        assert words in str(caught.value)
    assert str(recipe.sources[0].path) not in str(caught.value)
    assert "pack" not in stages
    assert not (tmp_path / "c.partial").exists()


def test_text_that_only_stands_deep_in_a_file_is_found(recipe, tmp_path):
    path = tmp_path / "late.tsv"
    path.write_bytes(b"One.\tUn.\tCC\n" * 7000 + b"One.\tUn.\n")
    recipe = dataclasses.replace(recipe, sources=(TsvSource("en", "fr", path),))
    manifest, _ = build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    assert manifest["streams"]["pair"]["en-fr"]["pairs"] == 1
    assert manifest["streams"]["pair"]["en-fr"]["rejects"] == {"field_count": 7000}


def test_every_input_tells_what_it_gave(recipe, texts, tmp_path):
    empty, memory, held_out = (
        tmp_path / n for n in ("fr.txt.gz", "m[1].tmx", "no.tsv")
    )
    empty.touch()
    held_out.touch()
    unit = (
        '<tu><tuv xml:lang="en"><seg>Ten&nbsp;men{}</seg></tuv>'
        '<tuv xml:lang="fr"><seg>Dix hommes</seg></tuv></tu>'
    )
    memory.write_text(f"<tmx>{unit.format(' came')}{unit.format('&')}</tmx>")
    sources = (
        *recipe.sources,
        TextSource("fr", empty),
        MosesSource("en", "fr", texts / "en-fr.en", texts / "en-fr.fr"),
        TmxSource("fr", "en", memory),
    )
    recipe = dataclasses.replace(recipe, sources=sources, evaluation_files=(held_out,))
    manifest, _ = build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    facts = read_inputs(tmp_path / "c")
    assert [(fact.files, fact.kind, fact.streams, fact.lines) for fact in facts] == [
        (["en.txt.gz"], "text", ["en"], 400),
        (["all.tsv"], "manyway", ["en-fr", "en-hi"], 200),
        (["fr.txt.gz"], "text", ["fr"], 0),
        (["en-fr.en", "en-fr.fr"], "moses", ["en-fr"], 200),
        (["m[1].tmx"], "tmx", ["en-fr"], 2),
        (["no.tsv"], "held out", [], 0),
    ]
    nothing_kept = [fact.kept == 0 for fact in facts]
    assert nothing_kept == [False, False, True, False, False, True]
    assert (facts[4].kept, facts[4].rejects) == (1, {"not_xml": 1})
    assert facts[4].unknown_entities == 2
    pairs = [fact for fact in facts if fact.kind in ("manyway", "moses", "tmx")]
    streams = manifest["streams"]["pair"].values()
    assert sum(fact.kept + sum(fact.rejects.values()) for fact in pairs) == sum(
        stream["inputs"] for stream in streams
    )
    console = Console(width=200, file=io.StringIO())
    console.print(summary(manifest, facts))
    printed = console.file.getvalue()
    assert all(name in printed for fact in facts for name in fact.files)
    assert "gave nothing: fr.txt.gz, no.tsv" in printed


def test_a_corpus_without_accounts_opens_and_damaged_ones_are_refused(recipe, tmp_path):
    build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    path = tmp_path / "c" / "inputs.json"
    for text in ("{", "[1]", "[" * 100_000, path.read_text().replace("400", '"400"')):
        path.write_text(text)
        with pytest.raises(UserError, match=r"inputs\.json.*remove it"):
            read_inputs(tmp_path / "c")
    path.unlink()
    assert read_inputs(tmp_path / "c") == []
    open_corpus(tmp_path / "c", verify=True)
    assert not build_corpus(recipe, tmp_path / "c", processes=1, report=silent)[1]
