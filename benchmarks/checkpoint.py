"""Saving and restoring a whole training state.

python -m benchmarks.checkpoint [--size=base] [--folder=DIR]

Training stands still while it is "blocked"; "on disk" is when everything is written,
hashed and renamed. What is read back is still in memory, hashed again and restored.
"""

import dataclasses
import statistics
import tempfile
from pathlib import Path

import jax
from absl import flags

from amber_jax import config as settings
from amber_jax.commands import command_line
from amber_jax.errors import UserError
from amber_jax.inference.loading import init_params
from amber_jax.model.encoder import EncoderConfig
from amber_jax.training.checkpoint import (
    CheckpointWriter,
    newest_checkpoint,
    restore_state,
)
from amber_jax.training.keys import init_key
from amber_jax.training.optimizer import build_optimizer
from amber_jax.training.parallel import abstract_like, build_backend
from amber_jax.training.state import TrainState, new_state
from benchmarks import stopwatch, tables, workload


def state_of(size: workload.Size) -> TrainState:
    """Returns the first state of a run, parameters and AdamW's moments."""
    defaults = settings.pretraining()
    sizes = dataclasses.asdict(size)
    config = EncoderConfig(
        **defaults.model.to_dict()
        | {name: sizes[name] for name in sizes if name not in ("row_length", "rows")}
    )
    backend = build_backend("jit", fsdp=False, num_devices=0)

    def new() -> TrainState:
        params = init_params(config, init_key(0))
        return new_state(params, build_optimizer(**defaults.optimizer))

    abstract = abstract_like(jax.eval_shape(new), backend)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    return jax.jit(new, out_shardings=shardings)()


def measured(state: TrainState, folder: Path, *, rounds: int) -> list[tables.Row]:
    """Returns a row for each thing that is done with a checkpoint."""
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=leaf.sharding
        ),
        state,
    )
    writer = CheckpointWriter(folder, keep=1, write_extras=lambda _: None)
    seconds: dict[str, list[stopwatch.Seconds]] = {}
    for number in range(rounds + 1):  # the first warms up
        state = state._replace(step=state.step + 1)
        jax.block_until_ready(state)
        timings = {
            "save, blocked": stopwatch.once(lambda state=state: writer.save(state, {})),
            "save, then on disk": stopwatch.once(writer.wait),
            "verify": stopwatch.once(lambda: newest_checkpoint(folder)),
        }
        saved = newest_checkpoint(folder)
        timings["restore"] = stopwatch.once(
            lambda saved=saved: jax.block_until_ready(restore_state(saved, abstract))
        )
        for name, timing in timings.items() if number else ():
            seconds.setdefault(name, []).append(timing)
    stored = sum(file.stat().st_size for file in saved.path.rglob("*"))
    writer.close()
    mb = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 1e6
    walls = {
        name: statistics.median(timing.wall for timing in timings)
        for name, timings in seconds.items()
    }
    walls["save, all of it"] = walls["save, blocked"] + walls["save, then on disk"]
    return [
        {
            "what": name,
            "seconds": wall,
            "state MB/s": mb / wall,
            "state MB": mb,
            "disk MB": stored / 1e6,
        }
        for name, wall in walls.items()
    ]


def define_flags() -> None:
    flags.DEFINE_enum("size", "base", [*workload.SIZES], "of the model")
    flags.DEFINE_string("folder", None, "on the disk to measure; else temporary")
    flags.DEFINE_integer("rounds", 3, "timed ones", lower_bound=1)
    tables.define_flag()


def main(_: list[str]) -> None:
    wanted = flags.FLAGS
    if wanted.folder is not None and not Path(wanted.folder).is_dir():
        raise UserError(
            f"--folder is {wanted.folder!r}, no folder; give one that is there, or "
            "leave it out"
        )
    state = state_of(workload.SIZES[wanted.size])
    with tempfile.TemporaryDirectory(dir=wanted.folder) as folder:
        rows = measured(state, Path(folder), rounds=wanted.rounds)
    tables.show({f"Checkpoint of size {wanted.size}": rows}, wanted.json)


if __name__ == "__main__":
    define_flags()
    command_line.run(main, on_devices=True)
