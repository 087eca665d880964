"""A step is compiled before it runs, and tells what it takes."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.training.compilation import compiled_for_each_shape


def batch(rows):
    ids = np.arange(rows, dtype=np.uint32)[:, None]
    return {"labelled": {"row_ids": ids, "x": np.ones((rows, 50), np.float32)}}


def test_a_step_is_compiled_once_for_each_number_of_rows():
    traced = []

    @jax.jit
    def step(state, batch, key):
        x = batch["labelled"]["x"]
        traced.append(len(x))
        return state + jnp.sort(x @ x.T).sum(), {}

    told = []
    run = compiled_for_each_shape(step, title="xnli", note=told.append)
    state = jnp.float32(0)
    for rows in (4, 8, 4, 8):
        state, _ = run(state, batch(rows), jax.random.key(0))
    assert float(state) == 50 * 2 * (4**2 + 8**2)
    assert traced == [4, 8]
    found = [re.match(r"xnli, (\d) rows: (compiled in|besides)", line) for line in told]
    assert [one.groups() for one in found] == [
        *(("4", "compiled in"), ("4", "besides")),
        *(("8", "compiled in"), ("8", "besides")),
    ]
