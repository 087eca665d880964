"""Whole corpora from real text: same bytes, full accounts, nothing half done."""

import dataclasses
import errno
import io
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import library_folders
import numpy as np
import pytest
from quiet_build import silent
from rich.console import Console

from amber_jax.corpora import assembly, build, parts
from amber_jax.corpora.build import build_corpus
from amber_jax.corpora.cleaning.options import Cleaning
from amber_jax.corpora.packing import taken_apart
from amber_jax.corpora.records import open_corpus, read_rows
from amber_jax.corpora.sources import (
    ManyWaySource,
    MosesSource,
    TextSource,
    TmxSource,
    TsvSource,
)
from amber_jax.corpora.summary import summary
from amber_jax.corpora.text import read_chunks, read_lines, read_many_way
from amber_jax.data.pipeline import BatchPlan, batches
from amber_jax.errors import UserError
from amber_jax.files import publish, workplace
from amber_jax.tokenization import load_tokenizer

ROOT = Path(__file__).resolve().parents[2]


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def all_rows(corpus, kind, name):
    stream = corpus.streams[kind][name]
    return read_rows(corpus, stream, np.arange(stream.rows))


def test_any_number_of_processes_writes_the_same_bytes(recipe, texts, tmp_path):
    bad = tmp_path / "bad.tmx"
    memory = (texts / "en-hi.tmx").read_text()
    bad.write_text(memory.replace("</tuv></tu>", "&</tuv></tu>", 1))
    sources = (*recipe.sources, TmxSource("hi", "en", bad))
    recipe = dataclasses.replace(recipe, sources=sources)
    for processes in (1, 2, 3):
        output = tmp_path / str(processes)
        build_corpus(recipe, output, processes=processes, report=silent)
    first, second, third = (contents(tmp_path / str(n)) for n in (1, 2, 3))
    assert len(first) > 20
    assert first == second == third
    streams = json.loads(first["manifest.json"])["streams"]["pair"]
    assert sorted(streams) == ["en-fr", "en-hi"]
    assert streams["en-hi"]["inputs"] == 400
    assert streams["en-hi"]["rejects"]["not_xml"] == 1


def test_corpora_stay_the_same_from_version_to_version(recipe, sample, tmp_path):
    vocabulary = tmp_path / "vocab.txt"
    packed = ROOT / "tests" / "data" / "mbert_vocab.txt.xz"
    vocabulary.write_bytes(b"".join(read_chunks(packed)))
    sources = (
        TextSource("ru", sample / "mono" / "ru.txt.xz"),
        ManyWaySource(sample / "parallel_eval.tsv.xz", languages=("fr", "hi")),
    )
    recipe = dataclasses.replace(recipe, sources=sources, tokenizer=vocabulary)
    manifest, _ = build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    assert manifest["fingerprint"] == (
        "b6cc846c3b8fbf065529bacaa34aa776caecef116f87ef2c3fcd0a7643d98f35"
    )


def test_the_corpus_opens_and_its_tokens_are_the_text(recipe, tmp_path, texts):
    manifest, built = build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    corpus = open_corpus(tmp_path / "c", verify=True)
    assert built
    assert corpus.fingerprint == manifest["fingerprint"]
    assert {kind: [*names] for kind, names in corpus.streams.items()} == {
        "mono": ["en", "fr", "hi"],
        "pair": ["en-fr", "en-hi"],
    }
    tokenizer = load_tokenizer(tmp_path / "c" / "tokenizer")
    assert tokenizer.fingerprint == corpus.tokenizer_fingerprint
    _, lines = read_many_way(texts / "all.tsv")
    wanted = [[*map(tuple, tokenizer.encode_batch([x["en"], x["fr"]]))] for x in lines]
    pairs = taken_apart(all_rows(corpus, "pair", "en-fr"), row_length=128)
    assert {(tuple(x), tuple(y)) for x, y in pairs} <= {*map(tuple, wanted)}


def test_a_folders_tokenizer_json_joins_pairs_its_own_way(recipe, tmp_path, texts):
    """XLM-R's two separators, straight from a folder in Hugging Face's format."""
    lines = [*read_many_way(texts / "all.tsv")[1]]
    sentences = [line[language] for line in lines for language in line]
    (tmp_path / "xlmr").mkdir()
    library_folders.write_fairseq(tmp_path / "xlmr", sentences)
    recipe = dataclasses.replace(recipe, tokenizer=tmp_path / "xlmr")
    manifest, _ = build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    corpus = open_corpus(tmp_path / "c", verify=True)
    assert manifest["separators"] == corpus.separators == 2
    tokenizer = load_tokenizer(tmp_path / "c" / "tokenizer")
    assert tokenizer.fingerprint == load_tokenizer(tmp_path / "xlmr").fingerprint
    wanted = [[*map(tuple, tokenizer.encode_batch([x["en"], x["fr"]]))] for x in lines]
    rows = all_rows(corpus, "pair", "en-fr")
    pairs = [*taken_apart(rows, row_length=128, separators=2)]
    assert pairs
    assert {(tuple(x), tuple(y)) for x, y in pairs} <= {*map(tuple, wanted)}
    special, (x, y) = tokenizer.special, pairs[0]
    joined = [special.cls, *x, special.sep, special.sep, *y, special.sep]
    assert rows[0, : len(joined)].tolist() == joined


def test_every_input_is_a_row_a_reject_or_dropped(recipe, tmp_path):
    manifest, _ = build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    corpus = open_corpus(tmp_path / "c", verify=False)
    for kind, streams in manifest["streams"].items():
        for name, facts in streams.items():
            rows = all_rows(corpus, kind, name)
            spans = rows[:, 128:].reshape(len(rows), 8, 2)
            assert len(rows) == facts["rows"] == 4 * len(facts["shards"])
            assert facts["pairs"] == (spans[..., 0] > 0).sum()
            assert facts["sentences"] == (spans > 0).sum()
            assert facts["real_tokens"] == spans.sum() == (rows[:, :128] != 0).sum()
            assert facts["max_token_id"] == rows[:, :128].max()
            assert facts["tail_rows_dropped"] < 4
            if kind == "pair":
                rejected = sum(facts["rejects"].values())
                kept = facts["pairs"] + facts["tail_pairs_dropped"]
                assert kept + rejected == facts["inputs"] == 200
        assert sum(facts["rate"] for facts in streams.values()) == pytest.approx(1)


def test_moses_tsv_tmx_and_many_way_give_the_same_pairs(recipe, texts, tmp_path):
    tables = {
        "en-fr": MosesSource("en", "fr", texts / "en-fr.en", texts / "en-fr.fr"),
        "tsv": TsvSource("en", "hi", texts / "en-hi.tsv"),
        "tmx": TmxSource("en", "hi", texts / "en-hi.tmx"),
    }
    options = dataclasses.replace(recipe.options, unit_bytes=1 << 30)
    many = dataclasses.replace(recipe, sources=recipe.sources[1:], options=options)
    build_corpus(many, tmp_path / "many", processes=1, report=silent)
    wanted = open_corpus(tmp_path / "many", verify=False)
    for name, source in tables.items():
        changed = dataclasses.replace(many, sources=(source,))
        build_corpus(changed, tmp_path / name, processes=1, report=silent)
        corpus = open_corpus(tmp_path / name, verify=False)
        stream = "en-fr" if name == "en-fr" else "en-hi"
        np.testing.assert_array_equal(
            all_rows(corpus, "pair", stream), all_rows(wanted, "pair", stream)
        )


def test_evaluation_sentences_are_kept_out_and_counted(recipe, texts, tmp_path):
    english, french = texts / "en-fr.en", texts / "en-fr.fr"
    held_out = tmp_path / "test.txt"
    lines = [*read_lines(english)][:3] + [*read_lines(french)][100:102]
    plain = [*read_lines(texts / "en.txt.gz")][7]
    held_out.write_bytes(b"\n".join([*lines, plain]).upper())
    recipe = dataclasses.replace(recipe, evaluation_files=(held_out,))
    manifest, _ = build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    streams = manifest["streams"]
    assert streams["pair"]["en-fr"]["rejects"]["evaluation_sentence"] == 5
    assert streams["pair"]["en-hi"]["rejects"]["evaluation_sentence"] == 3
    assert streams["mono"]["en"]["rejects"]["evaluation_sentence"] == 1
    assert manifest["excluded_evaluation_sentences"] == 9
    tokenizer = load_tokenizer(recipe.tokenizer)
    rows = all_rows(open_corpus(tmp_path / "c", verify=False), "mono", "en")
    pieces = {tuple(x) for pair in taken_apart(rows, row_length=128) for x in pair}
    assert not pieces & {tuple(tokenizer.encode(x.decode())) for x in [*lines, plain]}


def test_lines_that_hold_part_of_an_evaluation_sentence_are_counted(
    recipe, texts, tmp_path
):
    held_out = tmp_path / "test.txt"
    lines = [line.decode().split() for line in read_lines(texts / "en-fr.en")]
    some = [line for line in lines if len(line) > 14][:3]
    held_out.write_text("".join(f"So {' '.join(line[1:])}\n" for line in some))
    counts = []
    for words in (0, 8):
        options = dataclasses.replace(
            recipe.options, cleaning=Cleaning(evaluation_words=words)
        )
        changed = dataclasses.replace(
            recipe, evaluation_files=(held_out,), options=options
        )
        output = tmp_path / str(words)
        manifest, _ = build_corpus(changed, output, processes=1, report=silent)
        assert manifest["excluded_evaluation_sentences"] == 0
        counts.append(manifest["streams"]["pair"]["en-fr"]["rejects"])
        printed = Console(file=io.StringIO(), width=200)
        printed.print(summary(manifest, []))
        counted = "lines that hold part of one: " in printed.file.getvalue()
        assert counted == bool(words)
    assert "evaluation_overlap" not in counts[0]
    assert counts[1]["evaluation_overlap"] >= 3


def test_a_file_of_another_language_is_named_with_the_reason(recipe, sample, tmp_path):
    french = [*read_lines(sample / "mono" / "fr.txt.xz")][:60]
    (tmp_path / "es.txt").write_bytes(b"\n".join(french))
    cleaning = Cleaning(language_threshold=0.8, language_min_characters=0)
    recipe = dataclasses.replace(
        recipe,
        sources=(*recipe.sources, TextSource("es", tmp_path / "es.txt")),
        options=dataclasses.replace(recipe.options, cleaning=cleaning),
    )
    manifest, _ = build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    rejects = manifest["streams"]["mono"]["es"]["rejects"]
    assert rejects["other_language"] > 40
    (tmp_path / "es.txt").write_bytes(max(french, key=len))
    with pytest.raises(UserError, match=r"mono es .*es\.txt: other_language 1 of 1\)"):
        build_corpus(recipe, tmp_path / "d", processes=1, report=silent)


def test_unequal_line_counts_fail_with_both_numbers(recipe, texts, tmp_path):
    short = tmp_path / "short.fr"
    short.write_bytes(b"Un.\nDeux.\n")
    source = MosesSource("en", "fr", texts / "en-fr.en", short)
    recipe = dataclasses.replace(recipe, sources=(source,))
    with pytest.raises(UserError, match=r"en-fr\.en has 200 lines but .*fr has 2;"):
        build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    assert [path.name for path in tmp_path.iterdir()] == ["short.fr"]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_truncated_archive_fails_with_its_name(recipe, tmp_path, processes):
    cut = tmp_path / "cut.txt.gz"
    cut.write_bytes(recipe.sources[0].path.read_bytes()[:-9])
    sources = (TextSource("en", cut), *recipe.sources)
    recipe = dataclasses.replace(recipe, sources=sources)
    with pytest.raises(UserError, match=r"cut\.txt\.gz: cannot be read to its end"):
        build_corpus(recipe, tmp_path / "c", processes=processes, report=silent)
    assert [path.name for path in tmp_path.iterdir()] == ["cut.txt.gz"]


def test_a_missing_input_fails_with_its_name(recipe, tmp_path):
    source = TextSource("en", tmp_path / "none.txt")
    with pytest.raises(UserError, match=r"none\.txt: cannot be read"):
        build_corpus(
            dataclasses.replace(recipe, sources=(source,)),
            tmp_path / "c",
            processes=1,
            report=silent,
        )


def test_a_stream_of_less_than_a_shard_gets_one_short_shard(recipe, tmp_path):
    whole, _ = build_corpus(recipe, tmp_path / "whole", processes=1, report=silent)
    most = max(
        stream["rows"]
        for named in whole["streams"].values()
        for stream in named.values()
    )
    for rows_per_shard in (most // 2, 10_000):
        options = dataclasses.replace(recipe.options, rows_per_shard=rows_per_shard)
        output = tmp_path / str(rows_per_shard)
        short = dataclasses.replace(recipe, options=options)
        manifest, _ = build_corpus(short, output, processes=1, report=silent)
        corpus = open_corpus(output, verify=True)
        for kind, streams in manifest["streams"].items():
            for name, facts in streams.items():
                before = whole["streams"][kind][name]
                total = before["rows"] + before["tail_rows_dropped"]
                shards = max(1, total // rows_per_shard)
                assert len(facts["shards"]) == shards
                assert facts["rows"] == min(total, shards * rows_per_shard)
                assert facts["tail_rows_dropped"] == total - facts["rows"]
                rows = all_rows(corpus, kind, name)[: before["rows"]]
                first = all_rows(
                    open_corpus(tmp_path / "whole", verify=False), kind, name
                )
                assert (rows == first[: len(rows)]).all()


def test_batches_serve_every_row_of_a_short_shard_once_an_epoch(recipe, tmp_path):
    sources = (TextSource("en", recipe.sources[0].path), recipe.sources[1])
    options = dataclasses.replace(recipe.options, rows_per_shard=50)
    recipe = dataclasses.replace(recipe, sources=sources, options=options)
    build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    corpus = open_corpus(tmp_path / "c", verify=True)
    streams = list(corpus.streams["mono"].values())
    assert [len(stream.files) for stream in streams] == [1, 1, 1]
    assert streams[0].rows == 50 > max(stream.rows for stream in streams[1:])
    plan = BatchPlan(corpus, rows={"mono": 64, "pair": 32}, seed=1, stage=0)
    served = {}
    for batch in batches(plan, start=0, stop=16):
        rows = np.concatenate(
            [batch["mono"]["token_ids"], batch["mono"]["span_lengths"].reshape(64, -1)],
            axis=1,
        )
        for row, (stream, epoch, index) in zip(
            rows, batch["mono"]["row_ids"].tolist(), strict=True
        ):
            served.setdefault((stream // 2, epoch), []).append(index)
            wanted = read_rows(corpus, streams[stream // 2], np.array([index]))[0]
            assert (row == wanted).all()
    for number, stream in enumerate(streams):
        assert sorted(served[number, 0]) == [*range(stream.rows)]


def test_a_recipe_without_sources_is_refused(recipe, tmp_path):
    recipe = dataclasses.replace(recipe, sources=())
    with pytest.raises(UserError, match="no sources"):
        build_corpus(recipe, tmp_path / "c", processes=1, report=silent)


@pytest.mark.parametrize(
    "change",
    [
        {"max_side_tokens": 125},
        {"max_side_tokens": 0},
        {"cut_long_sides": True, "max_side_tokens": 63},
        {"max_pairs": 0},
        {"unit_bytes": 0},
        {"max_length_ratio": 0.5},
        {"alpha": -1.0},
    ],
)
def test_options_out_of_range_are_refused(recipe, tmp_path, change):
    options = dataclasses.replace(recipe.options, **change)
    with pytest.raises(UserError, match=next(iter(change))):
        build_corpus(
            dataclasses.replace(recipe, options=options),
            tmp_path / "c",
            processes=1,
            report=silent,
        )


def test_a_finished_corpus_is_kept_and_another_recipe_is_refused(recipe, tmp_path):
    output = tmp_path / "c"
    first, _ = build_corpus(recipe, output, processes=1, report=silent)
    before = contents(output)
    second, built = build_corpus(recipe, output, processes=1, report=silent)
    assert (second, built) == (json.loads(json.dumps(first)), False)
    options = dataclasses.replace(recipe.options, alpha=0.5)
    with pytest.raises(UserError, match="holds a corpus of other inputs"):
        build_corpus(
            dataclasses.replace(recipe, options=options),
            output,
            processes=1,
            report=silent,
        )
    assert contents(output) == before


def test_a_folder_that_is_no_corpus_is_never_touched(recipe, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="exists and is no corpus"):
        build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    assert contents(tmp_path) == {"c/thesis.txt": b"mine"}


@pytest.mark.parametrize(
    ("module", "stage"),
    [
        (parts, "process_unit"),
        (assembly, "write_shard"),
        (build, "write_manifest"),
    ],
)
def test_an_error_at_any_stage_leaves_nothing(
    recipe, tmp_path, monkeypatch, module, stage
):
    def fail(*_, **__):
        raise UserError("an input cannot be used")

    monkeypatch.setattr(module, stage, fail)
    with pytest.raises(UserError, match="an input cannot be used"):
        build_corpus(recipe, tmp_path / "c", processes=1, report=silent)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_in_one_sentence(recipe, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(assembly, "write_shard", fail)
    with pytest.raises(UserError, match=r"No space left on device\); make room"):
        build_corpus(recipe, tmp_path / "c", processes=1, report=silent)


KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from amber_jax.corpora.build import build_corpus

def die(stage, done, total):
    if stage == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    recipe = pickle.loads(Path(sys.argv[1]).read_bytes())
    build_corpus(recipe, Path(sys.argv[2]), processes=2, report=die)
"""


@pytest.mark.parametrize("stage", ["read", "tokenize", "write"])
def test_a_killed_build_leaves_no_corpus_and_the_next_one_succeeds(
    recipe, tmp_path, stage
):
    script, pickled, output = (tmp_path / n for n in ("kill.py", "recipe", "out/c"))
    script.write_text(KILLED)
    pickled.write_bytes(pickle.dumps(recipe))
    killed = subprocess.run(
        [sys.executable, script, pickled, output, stage],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,  # read to its end: no worker may outlive its parent
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in output.parent.iterdir()] == ["c.partial"]
    build_corpus(recipe, output, processes=1, report=silent)
    assert [path.name for path in output.parent.iterdir()] == ["c"]
    open_corpus(output, verify=True)


def test_two_builds_never_share_a_workplace(recipe, tmp_path):
    with (
        workplace(tmp_path / "c"),
        pytest.raises(UserError, match="being written by another process"),
    ):
        build_corpus(recipe, tmp_path / "c", processes=1, report=silent)


def test_a_killed_worker_ends_the_build_with_advice(recipe, tmp_path):
    def kill_workers(stage, done, total):
        del done, total
        if stage == "read":
            for worker in multiprocessing.active_children():
                worker.kill()
                worker.join()

    with pytest.raises(UserError, match="a worker process was killed"):
        build_corpus(recipe, tmp_path / "c", processes=2, report=kill_workers)
    notes = []
    build_corpus(recipe, tmp_path / "c", processes=1, report=silent, note=notes.append)
    assert notes[0].startswith("going on where a build was cut")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_an_output_that_appears_meanwhile_is_not_overwritten(tmp_path):
    output = tmp_path / "c"
    with pytest.raises(UserError, match="cannot be written"), workplace(output) as work:
        (work / "corpus").mkdir()
        output.mkdir()
        (output / "other").write_text("first")
        publish(work / "corpus", output)
    assert contents(tmp_path) == {"c/other": b"first"}
