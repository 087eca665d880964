"""Rows that stand in for a corpus."""

import jax
import pytest
import tiny_run

from amber_jax.errors import UserError
from amber_jax.model import flops
from amber_jax.pretraining import stand_in
from amber_jax.pretraining.run import count_work

ROWS = stand_in.Rows(row_length=32, pair_tokens=10, max_pairs=3)


def tiny_config(**changes):
    config = tiny_run.get_config("sa")
    config.backend = "jit"
    config.model.vocab_size = 500
    config.model.dtype = "bfloat16"
    config.update(changes)
    return config


def test_rows_that_stand_in_for_a_corpus_give_its_batches_and_its_work():
    devices = jax.devices()[:4]
    run = stand_in.prepare(tiny_config(), ROWS, devices)
    assert [stage.rows for stage in run.stages] == [{"mono": 8}, {"pair": 8}]
    assert run.encoder.vocab_size == 500
    assert run.backend.num_devices == 4
    first, second = (stand_in.mean_batch(run, stage) for stage in run.stages)
    assert first["mono"]["span_lengths"].tolist() == [[[5, 5]] * 3] * 8
    sizes = {"row_length": 32, "masking_rate": 0.15}
    spans = second["pair"]["span_lengths"]
    needed = flops.masked_lm(run.encoder, spans, **sizes) + flops.directed(
        run.encoder, spans, sentences=True, words=True
    )
    assert count_work(run, run.stages[1], second) == (8 * 30, needed)


def test_a_corpus_of_the_config_is_read(tmp_path):
    corpus = tiny_run.write_corpus(tmp_path)
    config = tiny_config(corpus=str(corpus))
    run = stand_in.prepare(config, ROWS, jax.devices()[:2])
    assert run.corpus.directory == corpus
    assert run.encoder.vocab_size == 500
    assert run.backend.num_devices == 2


def test_rows_are_as_many_as_devices_divide():
    with pytest.raises(UserError, match="row_multiple"):
        stand_in.prepare(tiny_config(row_multiple=2), ROWS, jax.devices()[:8])


def test_pairs_longer_than_a_row_are_refused():
    with pytest.raises(UserError, match="pairs of 33"):
        stand_in.prepare(tiny_config(), ROWS._replace(pair_tokens=33), jax.devices())


def test_rows_are_no_longer_than_the_model_has_positions():
    config = tiny_config()
    config.model.max_positions = 24
    run = stand_in.prepare(config, ROWS, jax.devices()[:2])
    assert run.corpus.row_length == 24
    assert "rows of 24 tokens with 2 pairs of 10" in stand_in.describe(run)
