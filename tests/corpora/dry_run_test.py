"""What a dry run expects, against what the build then gives."""

import dataclasses
import gzip
import io
import random

import pytest
from quiet_build import silent
from rich.console import Console

from amber_jax.corpora import dry_run
from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.sources import MosesSource, TextSource, TmxSource
from amber_jax.corpora.summary import outlook


def text_of(estimate):
    console = Console(width=200, file=io.StringIO())
    console.print(outlook(estimate, [1, 8]))
    return console.file.getvalue()


def test_small_sources_are_known_exactly(recipe, texts, tmp_path):
    latin = tmp_path / "de.txt"
    latin.write_bytes(b"Gut.\n\ncaf\xe9\nSehr gut.\n")
    sources = (
        *recipe.sources,
        TextSource("de", latin),
        MosesSource("en", "fr", texts / "en-fr.en", texts / "en-fr.fr"),
        TmxSource("en", "hi", texts / "en-hi.tmx"),
    )
    recipe = dataclasses.replace(recipe, sources=sources)
    manifest, _ = build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    before = sorted(tmp_path.iterdir())
    estimate = dry_run.dry_run(recipe, processes=1, report=silent)
    assert sorted(tmp_path.iterdir()) == before
    for kind, streams in manifest["streams"].items():
        for name, facts in streams.items():
            assert estimate.lines[kind, name] == facts["inputs"]
            # The end of the last shard is dropped by the build.
            tokens = estimate.tokens[kind, name]
            assert facts["real_tokens"] <= tokens <= facts["real_tokens"] + 4 * 128
    assert dict(estimate.rejects) == manifest["rejects"]
    assert estimate.sources[2].documents == 2
    assert estimate.sources[2].examples["not_utf8"] == ["caf\ufffd"]
    text = text_of(estimate)
    assert "not_utf8" in text
    assert "'caf\ufffd'" in text
    assert "on 8" in text


@pytest.mark.parametrize("packed", [True, False])
def test_large_sources_are_known_by_their_beginning(
    recipe, tmp_path, monkeypatch, packed
):
    drawn = random.Random(0)
    content = b"".join(
        b"%d nice words and %d more of them.\n%s"
        % (drawn.random() * 1e6, n, b"\n" * (n % 2))
        for n in range(100_000)
    )
    path = tmp_path / f"a.txt{'.gz' * packed}"
    path.write_bytes(gzip.compress(content) if packed else content)
    recipe = dataclasses.replace(recipe, sources=(TextSource("en", path),))
    monkeypatch.setattr(dry_run, "_OF_SOURCE", (1 << 15, 1 << 16))
    estimate = dry_run.dry_run(recipe, processes=1, report=silent)
    (source,) = estimate.sources
    assert source.is_copied == packed
    assert source.text_bytes == pytest.approx(len(content), rel=0.1)
    assert source.share == pytest.approx((1 << 16) / len(content), rel=0.1)
    assert estimate.lines["mono", "en"] == pytest.approx(150_000, rel=0.1)
    assert source.documents == pytest.approx(50_000, rel=0.1)


def test_a_converted_source_tells_its_size_by_how_far_it_was_read(
    recipe, tmp_path, monkeypatch
):
    unit = (
        '<tu><tuv xml:lang="en"><seg>Word {0}.</seg></tuv>'
        '<tuv xml:lang="fr"><seg>Mot numéro {0}.</seg></tuv></tu>\n'
    )
    path = tmp_path / "m.tmx"
    units = "".join(unit.format(number) for number in range(30_000))
    path.write_text(f"<tmx><body>{units}</body></tmx>", "utf-8")
    recipe = dataclasses.replace(recipe, sources=(TmxSource("en", "fr", path),))
    monkeypatch.setattr(dry_run, "_READ_BYTES", 1 << 19)
    estimate = dry_run.dry_run(recipe, processes=1, report=silent)
    assert estimate.lines["pair", "en-fr"] == pytest.approx(30_000, rel=0.2)
