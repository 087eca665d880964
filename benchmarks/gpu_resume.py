"""Whether a run that is saved and resumed goes on with the same bits."""

import itertools
import tempfile
from pathlib import Path

import jax
import numpy as np

from amber_jax.training import checkpoint
from benchmarks import own_step

NAME = "deterministic operations"
_STEPS = 2  # before saving, and after


def same_bits(prepared: own_step.Prepared) -> bool:
    """Returns whether the state is the same in every bit; takes the one that is there.

    A checkpoint is written and read between two halves of a few steps, and the second
    half is run with and without that.
    """
    batches = list(itertools.islice(itertools.cycle(prepared.batches), 2 * _STEPS))

    def half(state: object, batches: list[object]) -> object:
        for batch in batches:
            state, _ = prepared.step(state, prepared.put_batch(batch), prepared.key)
        return state

    state = half(prepared.state, batches[:_STEPS])
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )
    with tempfile.TemporaryDirectory() as folder:
        writer = checkpoint.CheckpointWriter(
            Path(folder), keep=1, write_extras=lambda _: None
        )
        writer.save(state, {})
        writer.close()
        saved = checkpoint.find_checkpoint(Path(folder))
        resumed = checkpoint.restore_state(saved, abstract)
    whole, parts = (
        jax.device_get(half(begun, batches[_STEPS:])) for begun in (state, resumed)
    )
    return jax.tree.all(
        jax.tree.map(lambda x, y: bool(np.array_equal(x, y)), whole, parts)
    )
