"""What a stage is made of."""

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_run

from amber_jax.corpora.records import open_corpus
from amber_jax.data.pipeline import BatchPlan, batch_at
from amber_jax.pretraining.stages import LossWeight, abstract_batch, loss_weights
from amber_jax.training.parallel import build_backend


def test_loss_weights_wait_rise_and_stay():
    losses = {"words": LossWeight(2.0, start_step=10, warmup_steps=4)}
    steps = (0, 9, 10, 11, 13, 99)
    weights = [loss_weights(losses, jnp.int32(step)) for step in steps]
    assert [list(scales) for scales in weights] == [["words"]] * len(steps)
    assert [float(scales["words"]) for scales in weights] == [
        *(0.0, 0.0, 0.5, 1.0, 2.0, 2.0)
    ]


@pytest.mark.parametrize("backend", ["pmap", "jit"])
def test_a_step_is_compiled_for_the_arrays_that_it_gets(backend, tmp_path):
    corpus = open_corpus(tiny_run.write_corpus(tmp_path), verify=False)
    plan = BatchPlan(corpus, rows={"mono": 8, "pair": 16}, seed=3, stage=1)
    built = build_backend(backend, fsdp=False, num_devices=4)
    batch = built.put_batch(batch_at(plan, 0))
    shapes = abstract_batch(plan.rows, corpus.row_length, corpus.max_pairs, built)
    assert shapes.keys() == batch.keys()
    for kind, arrays in batch.items():
        assert shapes[kind].keys() == arrays.keys()
        for name, array in arrays.items():
            assert (shapes[kind][name].shape, shapes[kind][name].dtype) == (
                *(array.shape, array.dtype),
            )
    ids = np.asarray(batch["pair"]["row_ids"]).reshape(16, 3)
    assert len({tuple(row_ids) for row_ids in ids}) == 16
