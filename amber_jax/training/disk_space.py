"""Whether the disk has room for a run's checkpoints, asked before the first step."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import jax

from amber_jax.errors import UserError
from amber_jax.storage import is_remote
from amber_jax.training.state import TrainState

_GB = 1e9


def check_space(
    directory: Path, state: TrainState, *, count: int, note: Callable[[str], None]
) -> None:
    """Says so if the checkpoints that will stay do not fit the disk.

    Counted is the state as it is in memory: what Orbax writes is a little smaller.

    Args:
        directory: of the checkpoints; those that are there already count as written.
        state: of the run.
        count: checkpoints that stay.
        note: called with the sentence.

    Raises:
        UserError: not even one checkpoint fits.
    """
    if is_remote(directory):  # which has no end
        return
    size = sum(
        math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)
    )
    free = shutil.disk_usage(directory).free
    if free < size:
        raise UserError(
            f"{directory}: a checkpoint takes up to {size / _GB:.2f} GB, and "
            f"{free / _GB:.2f} GB are free; make room there, or use another --workdir"
        )
    written = sum(
        file.stat().st_size for file in directory.rglob("*") if file.is_file()
    )
    # An old one is removed when the next is complete.
    needed = (count + 1) * size - written
    if free < needed:
        note(
            f"{directory}: {count} checkpoints and the next one take up to "
            f"{needed / _GB:.2f} GB more, and {free / _GB:.2f} GB are free; make room, "
            "or keep fewer"
        )
