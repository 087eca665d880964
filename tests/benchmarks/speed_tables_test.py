"""Every benchmark of a part measures that part, at the smallest size there is."""

import json
import math

import numpy as np
import pytest
import tiny_run

from amber_jax import config as settings
from amber_jax.corpora.records import open_corpus
from amber_jax.errors import UserError
from amber_jax.finetuning.preparation import prepare
from benchmarks import (
    checkpoint,
    encoders,
    encoding,
    finetuning_step,
    input_pipeline,
    retrieval,
    sample,
    start,
    stopwatch,
    tables,
    workload,
)


def finite(rows):
    numbers = [v for row in rows for v in row.values() if isinstance(v, float)]
    return numbers and all(math.isfinite(number) for number in numbers)


def test_a_table_stands_as_markdown_and_in_the_json_file(tmp_path, capsys):
    rows = [
        {"way": "a", "rows": 12_000, "s": 0.01234},
        {"way": "bb", "rows": 1, "s": 2e6},
    ]
    tables.show({"Title": rows}, str(tmp_path / "out.json"))
    assert capsys.readouterr().out.splitlines()[3:] == [
        "| way |   rows |         s |",
        "| --- | -----: | --------: |",
        "| a   | 12,000 |    0.0123 |",
        "| bb  |      1 | 2,000,000 |",
    ]
    assert json.loads((tmp_path / "out.json").read_text()) == {"Title": rows}


def test_a_json_file_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(UserError, match="--json="):
        tables.show({"Title": [{"way": "a"}]}, str(tmp_path / "no" / "out.json"))


def test_ways_take_turns_and_the_first_round_is_thrown_away():
    called = []
    ways = {name: lambda name=name: called.append(name) for name in "ab"}
    seconds = stopwatch.interleaved(ways, rounds=2)
    assert called == list("ababab")
    assert all(median.wall >= 0 and median.cpu >= 0 for median in seconds.values())


def test_the_pipelines_figures_cover_every_kind_and_size(tmp_path):
    corpus = open_corpus(tiny_run.write_corpus(tmp_path), verify=False)
    rows = input_pipeline.feeding(corpus, [16], rounds=1, rows=16)
    assert [row["batches"] for row in rows] == ["mono, 16 pairs", "pair, 16 pairs"]
    assert all(row["the same from there"] == "yes" for row in rows)
    packed = input_pipeline.packing(corpus, rounds=1)
    assert [row["kind"] for row in packed] == ["mono", "pair"]
    assert finite(rows) and finite(packed)
    assert all(row["real positions, %"] <= 100 for row in packed)


def test_sentences_of_the_sample_are_long_and_short():
    sentences = sample.sentences(400)
    assert len(sentences) == 400 and all(sentences)
    assert len(set(sentences)) > 300
    assert max(map(len, sentences)) > 4 * min(map(len, sentences))


def test_encoding_both_ways_gives_the_same_vectors(words):
    model = encoding.random_model(words, num_layers=1, hidden_size=64)
    rows = encoding.compare(model, ["1 2", "3", "4 5 6 , 7 8 9 10 11"] * 3, rounds=1)
    assert len(rows) == 2 and finite(rows)
    assert rows[0]["real of computed positions, %"] <= 100


def test_our_side_of_the_encoders_runs_alone(words, tmp_path, capsys):
    table = tmp_path / "many.tsv"
    table.write_text("en\tfr\tde\n1 2\t0\t3\n4 5 6\t0\t7 , 8\n\t0\t9\n10\t0\t11\n")
    sentences = encoders.read_sentences(table, ["en", "de"], 3)
    assert sentences == ["1 2", "4 5 6", "3", "7 , 8", "9"]
    model = encoding.random_model(words, num_layers=1, hidden_size=64)
    programs = {"amber_jax": encoders.ours(model, sentences)}
    timed = encoders.compare(programs, rounds=2)
    rows = encoders.rows_of(timed, sentences=5, tokens=20)
    tables.show({"five sentences": rows}, None)
    assert finite(rows) and rows[0]["the first is x"] == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("| amber_jax |")


@pytest.fixture
def words(tmp_path):
    return tiny_run.save_tokenizer(tmp_path)


def test_all_searches_find_the_same_neighbors():
    src, tgt = retrieval.vectors(5, 40, 16)
    assert np.allclose(np.linalg.norm(src, axis=1), 1)
    rows = retrieval.compare(src, tgt, 3, block_size=16, rounds=1)
    assert len(rows) >= 2 and finite(rows)
    assert {row["the same neighbors, %"] for row in rows} == {100.0}


def test_a_checkpoint_is_written_and_read(tmp_path):
    state = checkpoint.state_of(workload.SIZES["tiny"])
    rows = checkpoint.measured(state, tmp_path / "checkpoints", rounds=1)
    assert finite(rows) and rows[0]["what"] == "save, blocked"


def test_imports_count_for_the_library_that_asked_for_them():
    log = """\
import time: self [us] | cumulative | imported package
import time:       100 |        100 |     numpy.core
import time:       100 |        200 |   numpy
import time:        50 |         50 |       jaxlib
import time:       250 |        300 |     jax
import time:        10 |        310 |   amber_jax.model
import time:         5 |        515 | amber_jax
import time:         7 |          7 | zipfile
"""
    seconds = {name: value for name, value in start.imported(log).items() if value}
    assert seconds == pytest.approx({"numpy": 2e-4, "jax": 3e-4, "other": 7e-6})


def test_a_step_of_fine_tuning_does_the_same_with_few_rows(checkpoint, tmp_path):
    for part in ("train", "dev", "test"):
        (tmp_path / f"{part}-en.tsv").write_text("7\tNUM\n8\tVERB\n")
    config = settings.finetuning("udpos")
    config.data, config.languages, config.max_length = str(tmp_path), ("en",), 16
    config.num_devices, config.optimizer.weight_decay = 1, 0.1
    setup = prepare(config, checkpoint, note=lambda _: None)
    times, (apart,) = finetuning_step.measured(
        setup, rounds=1, note=lambda _: None
    ).values()
    assert [row["count"] for row in times] == [60, 7] and finite(times)
    assert apart["largest difference"] < 1e-5
