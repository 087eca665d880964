"""A step of fine-tuning with every row of the word embeddings, and with those it needs.

python -m benchmarks.finetuning_step --checkpoint=DIR \
    --config=configs/udpos.py:treebanks --config.data=DIR

Both ways train on the same batch, in turns, on one core of the host. Printed: medians
of CPU seconds and seconds, and the largest difference between the parameters that both
ways have in the end, of word embeddings that training does not touch too.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from absl import flags

from amber_jax.commands import command_line
from amber_jax.commands.config_flag import define_config
from amber_jax.finetuning.preparation import Setup, prepare
from amber_jax.finetuning.seed import batches_from, compile_step, first_state
from amber_jax.training.keys import dropout_key
from amber_jax.training.state import TrainState
from benchmarks import stopwatch, tables

ALL, TOUCHED = "all", "those that the training set touches"


class Training:
    """One way to fine-tune, step after step on the first batch."""

    def __init__(self, setup: Setup, seed: int, note: Callable[[str], None]) -> None:
        self.num_rows = len(setup.word_rows.pieces)
        self.state: TrainState = first_state(setup, seed)
        self._step = compile_step(setup, note)
        batch = next(batches_from(setup, seed, 0))
        self._batch, self._key = setup.backend.put_batch(batch), dropout_key(seed)

    def update(self) -> None:
        """Returns when a step is done."""
        self.state, _ = self._step(self.state, self._batch, self._key)
        jax.block_until_ready(self.state)


def measured(
    setup: Setup, *, rounds: int, note: Callable[[str], None]
) -> dict[str, list[tables.Row]]:
    """Returns the tables: the time of a step, and how far the parameters are apart."""
    setups = {ALL: dataclasses.replace(setup, untouched_decay=None), TOUCHED: setup}
    ways = {
        name: Training(variant, setup.config.seeds[0], note)
        for name, variant in setups.items()
    }
    seconds = stopwatch.interleaved(
        {name: way.update for name, way in ways.items()}, rounds=rounds
    )
    times = [
        {
            "rows of the word embeddings": name,
            "count": ways[name].num_rows,
            "CPU s": median.cpu,
            "s": median.wall,
            "of the CPU s of all": median.cpu / seconds[ALL].cpu,
        }
        for name, median in seconds.items()
    ]
    every, few = (
        [np.asarray(leaf) for leaf in jax.tree.leaves(ways[name].state.params)]
        for name in (ALL, TOUCHED)
    )
    apart = max(float(np.abs(a - b).max()) for a, b in zip(every, few, strict=True))
    return {
        "A step": times,
        f"Parameters after {rounds + 1} steps": [{"largest difference": apart}],
    }


def main(_: list[str]) -> None:
    wanted = flags.FLAGS
    stopwatch.stay_on_one_core()
    setup = prepare(wanted.config, Path(wanted.checkpoint), note=print)
    tables.show(measured(setup, rounds=wanted.rounds, note=print), wanted.json)


if __name__ == "__main__":
    define_config("the task")
    flags.DEFINE_string("checkpoint", None, "a run's workdir or checkpoint")
    flags.DEFINE_integer("rounds", 5, "timed ones", lower_bound=1)
    flags.mark_flags_as_required(["config", "checkpoint"])
    tables.define_flag()
    command_line.run(main, on_devices=True)
