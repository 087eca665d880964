"""A step is compiled before it runs, and tells what it takes."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.training import allocator
from amber_jax.training.compilation import StepOfEachShape


def batch(rows):
    ids = np.arange(rows, dtype=np.uint32)[:, None]
    return {"labeled": {"row_ids": ids, "x": np.ones((rows, 50), np.float32)}}


def test_a_step_is_compiled_once_for_each_number_of_rows():
    traced = []

    @jax.jit
    def step(state, batch, key):
        x = batch["labeled"]["x"]
        traced.append(len(x))
        return state + jnp.sort(x @ x.T).sum(), {}

    messages = []
    run = StepOfEachShape(step, title="xnli", note=messages.append)
    state = jnp.float32(0)
    for rows in (4, 8, 4, 8):
        state, _ = run(state, batch(rows), jax.random.key(0))
    assert float(state) == 50 * 2 * (4**2 + 8**2)
    assert traced == [4, 8]
    matches = [
        re.match(r"xnli, (\d) rows: (compiled in|besides)", line) for line in messages
    ]
    assert [match.groups() for match in matches] == [
        *(("4", "compiled in"), ("4", "besides")),
        *(("8", "compiled in"), ("8", "besides")),
    ]


def test_on_a_cpu_the_whole_process_is_foretold(monkeypatch):
    monkeypatch.setattr(allocator, "resident_bytes", lambda: 10**9)
    notes = []
    run = StepOfEachShape(
        jax.jit(lambda state, batch, key: (jnp.sort(state @ state.T).sum(), {})),
        title="xnli",
        note=notes.append,
    )
    run(jnp.ones((500, 500)), batch(4), jax.random.key(0))
    step, process = re.findall(r"[\d,]{5,}", notes[-1])
    step, process = (int(number.replace(",", "")) for number in (step, process))
    assert step > 0
    assert process == 10**9 + step
