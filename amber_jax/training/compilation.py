"""Compiles a step before it runs, and reports the time and memory it takes."""

import time
from collections.abc import Callable
from typing import Any

import jax

from amber_jax.training import allocator
from amber_jax.training.state import TrainState
from amber_jax.training.step import Metrics
from amber_jax.types import Array, Batch


def compiled_ahead(
    step: jax.stages.Wrapped,
    *arguments: Any,
    title: str,
    note: Callable[[str], None],
) -> jax.stages.Compiled:
    """The step, compiled; reports how long that took, and the step's memory.

    Args:
        step: as `Backend.compile` returns it.
        arguments: state, batch and key, or their shapes.
        title: of the step, in the sentences.
        note: called with the sentences.
    """
    begin = time.perf_counter()
    compiled = step.lower(*arguments).compile()
    note(f"{title}: compiled in {time.perf_counter() - begin:.1f} s")
    memory = compiled.memory_analysis()
    allocator.give_back_unused()
    if memory is not None:  # not every back end reports it
        taken = memory.temp_size_in_bytes
        sentence = f"besides the state, a step takes {taken:,} bytes per device"
        held = allocator.resident_bytes()
        devices = _devices(compiled)
        if held is not None and {device.platform for device in devices} == {"cpu"}:
            sentence += f"; with it this process has {held + taken * len(devices):,}"
        note(f"{title}: {sentence}")
    return compiled


def _devices(compiled: jax.stages.Compiled) -> set[jax.Device]:
    """The devices of this process that a compiled step runs on."""
    shardings = jax.tree.leaves(compiled.input_shardings)
    return set().union(*(sharding.addressable_devices for sharding in shardings))


class StepOfEachShape:
    """A step, compiled once for every number of rows that a batch has."""

    def __init__(
        self, step: jax.stages.Wrapped, *, title: str, note: Callable[[str], None]
    ):
        """Takes what `compiled_ahead` does, but for the step's arguments."""
        self._step, self._title, self._note = step, title, note
        self._programs: dict[tuple[Any, ...], jax.stages.Compiled] = {}

    def __call__(
        self, state: TrainState, batch: Batch, key: Array
    ) -> tuple[TrainState, Metrics]:
        """The step's result; compiles it if no batch had this shape yet."""
        return self.program(state, batch, key)(state, batch, key)

    def program(
        self, state: TrainState, batch: Batch, key: Array
    ) -> jax.stages.Compiled:
        """The compiled step of the batch's shape."""
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(batch))
        if shapes not in self._programs:
            ids = [arrays["row_ids"] for arrays in batch.values()]
            rows = sum(row_ids.size // row_ids.shape[-1] for row_ids in ids)
            title = f"{self._title}, {rows} rows"
            self._programs[shapes] = compiled_ahead(
                self._step, state, batch, key, title=title, note=self._note
            )
        return self._programs[shapes]
