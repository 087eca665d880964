"""What a run would take on a slice of TPUs, in words: memory, hours, money."""

import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from amber_jax.errors import UserError
from amber_jax.pretraining import budget, stand_in
from amber_jax.pretraining.budget import Memory
from amber_jax.pretraining.preparation import Run
from amber_jax.pretraining.stages import Stage
from amber_jax.storage import location
from amber_jax.training.keys import dropout_key
from amber_jax.training.metrics import METRICS_FILE, read_metrics
from amber_jax.training.slices import (
    CHIPS,
    CHIPS_OF_A_HOST,
    Chip,
    described,
    squarest,
)

_GB = 1e9
_LOGGED = 20  # records of a run whose MFU counts


class Target(NamedTuple):
    """The slice that a run is meant for."""

    chip: str  # one of `CHIPS`
    chips: int  # each a device
    mfu: float  # share of the peak that is reached
    price: float | None  # dollars for an hour of a chip
    compiled: bool  # whether the TPU's compiler is asked

    @property
    def limits(self) -> Chip:
        """What one chip can do."""
        return CHIPS[self.chip]


def parse_mfu(text: str) -> float:
    """The share of the peak that a flag gives: a number, or a run that reached it.

    Args:
        text: a number, or a workdir; its run's last records count, their median.

    Raises:
        UserError: it is neither, or nothing was measured.
    """
    try:
        mfu = float(text)
    except ValueError:
        records = read_metrics(location(text) / METRICS_FILE)
        measured = [record["mfu"] for record in records if record.get("mfu")]
        if not measured:
            raise UserError(
                f"--mfu={text}: that run has logged no mfu; set its "
                "--config.peak_tflops, or give a number"
            ) from None
        return statistics.median(measured[-_LOGGED:])
    if not 0 < mfu <= 1:
        raise UserError(f"--mfu={text} is no share; wanted one in (0, 1], as 0.4")
    return mfu


def forecast(run: Run, target: Target) -> Iterator[str]:
    """What is to be said of a run, by arithmetic, stage by stage."""
    hours = 0.0
    for stage in run.stages:
        yield f"stage {stage.name}: {_memory(budget.memory(run, stage), target)}"
        yield from _advice(run, stage, target)
        planned = budget.schedule(run, stage, target.limits, target.mfu)
        hours += planned.hours
        yield f"stage {stage.name}: {_work(planned, target)}"
    yield f"all stages: {_cost(hours, target)}"


def lower(run: Run, stage: Stage, *, platform: str | None) -> str:
    """The text of a stage's step.

    Args:
        run: on this machine's devices, emulated ones or not.
        stage: whose step it is.
        platform: that it is lowered for, under jit; None for the devices' own.
    """
    if platform is not None and run.config.backend != "jit":
        raise UserError(
            f"backend is {run.config.backend}, which is not lowered for other "
            "machines; add --config.backend=jit"
        )
    step = run.compile(stage)
    arguments = run.abstract_state, run.abstract_batch(stage), _key(run)
    if platform is None:
        return step.lower(*arguments).as_text()
    return step.trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


def ask_compiler(
    config: ConfigDict, target: Target, note: Callable[[str], None]
) -> None:
    """Compiles every stage for the slice, and says what memory the compiler wants.

    Raises:
        UserError: libtpu is not there, or knows no such slice.
    """
    devices = described(squarest(target.chip, target.chips)).devices
    run = stand_in.prepare(config, stand_in.Rows(), devices, suited=target.limits)
    for stage in run.stages:
        arguments = run.abstract_state, run.abstract_batch(stage), _key(run)
        lowered = run.compile(stage).lower(*arguments)
        try:
            memory: Any = lowered.compile().memory_analysis()
        except jax.errors.JaxRuntimeError as error:
            reason = str(error).split("\n")[0]
            note(f"stage {stage.name}: the TPU's compiler refuses it: {reason}")
            continue
        arguments_and_more = memory.argument_size_in_bytes + memory.temp_size_in_bytes
        note(
            f"stage {stage.name}: the TPU's compiler wants "
            f"{_gb(arguments_and_more)} of a device, at most "
            f"{_gb(memory.peak_memory_in_bytes)} in use at once: "
            f"{_gb(memory.argument_size_in_bytes)} of arguments and "
            f"{_gb(memory.temp_size_in_bytes)} of temporaries"
        )


def _key(run: Run) -> jax.ShapeDtypeStruct:
    return jax.eval_shape(dropout_key, run.config.seed)


def _memory(memory: Memory, target: Target) -> str:
    limit = target.limits.memory
    fits = "fits" if memory.peak <= limit else "does not fit"
    parts = {
        "state": memory.state,
        "gradients": memory.gradients,
        "kept by the forward pass": memory.kept,
        "logits and probabilities": memory.working,
        "gradients of earlier micro-batches": memory.accumulated,
    }
    listed = ", ".join(f"{name} {_gb(size)}" for name, size in parts.items() if size)
    return (
        f"a device needs {_gb(memory.peak)} of {_gb(limit)}, so it {fits}; {listed}, "
        "not all at once"
    )


def _advice(run: Run, stage: Stage, target: Target) -> Iterator[str]:
    """The first change that makes a stage fit, or that none does."""
    if budget.memory(run, stage).peak <= target.limits.memory:
        return
    for flags, changed, divided in budget.smaller(run, stage):
        peak = budget.memory(changed, divided).peak
        if peak <= target.limits.memory:
            yield f"stage {stage.name}: change first {flags}, then {_gb(peak)}"
            return
    yield (
        f"stage {stage.name}: no micro-batches, recomputation or sharding make it fit; "
        "take more or larger chips, or fewer pairs"
    )


def _work(planned: budget.Schedule, target: Target) -> str:
    hosts = math.ceil(target.chips / CHIPS_OF_A_HOST)
    moving = sum(planned.traffic)
    return (
        f"{planned.step_flops:.3g} FLOPs a step, {planned.steps:,} steps; "
        f"{_cost(planned.hours, target)}; a step of {1e3 * planned.step_seconds:.1f} "
        f"ms, in which moving state and gradients takes at least {1e3 * moving:.1f}; "
        f"input {planned.input_rate / 1e6:.3g} MB/s, "
        f"{planned.input_rate_of_a_host / 1e6:.3g} for each of {hosts} hosts"
    )


def _cost(hours: float, target: Target) -> str:
    chip_hours = hours * target.chips
    money = "" if target.price is None else f", ${chip_hours * target.price:,.0f}"
    return (
        f"{hours:,.3g} hours at {target.mfu:.0%} of the peak, {chip_hours:,.0f} "
        f"chip-hours{money}"
    )


def _gb(size: float) -> str:
    return f"{size / _GB:.2f} GB"
