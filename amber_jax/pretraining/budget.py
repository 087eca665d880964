"""What a run takes, by arithmetic: memory of a device, and time on chips of a kind.

Memory is counted where a step has most of it: when the forward pass ends, with what it
keeps, logits and last probabilities, or at the update, with all gradients. What the
forward pass keeps is read off the step's own program, which is traced and not compiled.
A compiler adds what it cannot place without gaps, and fuses some of the rest away.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import Literal

from amber_jax.losses import MASKED_LM
from amber_jax.losses.masked_lm import num_parts
from amber_jax.model.masking import num_slots
from amber_jax.pretraining import stages, stand_in
from amber_jax.pretraining.preparation import Run
from amber_jax.pretraining.stages import Stage
from amber_jax.training.keys import dropout_key
from amber_jax.training.parallel import build_backend
from amber_jax.training.slices import CHIPS_OF_A_HOST, Chip
from amber_jax.types import Batch, Params

_FLOAT32 = 4  # bytes
_SAME_BYTES = {"reshape", "squeeze", "expand_dims", "copy", "stop_gradient", "name"}


class Memory(NamedTuple):
    """Bytes of one device while a step runs."""

    state: int  # parameters, optimizer memory and counters
    gradients: int
    kept: int  # of the forward pass for the backward pass, of one micro-batch
    working: int  # for a moment while all is kept: logits, probabilities
    accumulated: int  # the gradients' sum over micro-batches; 0 if there is one

    @property
    def temporaries(self) -> int:
        """Those beside the state, where there are most."""
        return self.accumulated + max(self.kept + self.working, self.gradients)

    @property
    def peak(self) -> int:
        """The most bytes at once."""
        return self.state + self.temporaries


class Traffic(NamedTuple):
    """The least seconds of a step that moving bytes takes, beside the products."""

    state: float  # read and written once, and gradients written and read, in HBM
    gradients: float  # summed over the devices in float32, so sent twice


class Schedule(NamedTuple):
    """The work of a stage, and what it takes on all the chips of a slice."""

    step_flops: int
    steps: int
    step_seconds: float
    traffic: Traffic
    hours: float
    input_rate: float  # bytes/s of shards that all hosts together read
    input_rate_of_a_host: float


def memory(run: Run, stage: Stage) -> Memory:
    """The memory of a stage's step on one device."""
    state = run.abstract_state
    rows = _rows_of_a_part(run, stage)
    gradients = _bytes_placed(state.params)
    return Memory(
        state=_bytes_placed(state),
        gradients=gradients,
        kept=_kept(run, stage, rows),
        working=_working(run, stage, rows),
        accumulated=gradients if stage.micro_batches > 1 else 0,
    )


def schedule(run: Run, stage: Stage, chip: Chip, mfu: float) -> Schedule:
    """The time that a stage takes.

    Args:
        run: of the stage.
        stage: what is trained.
        chip: what each device is.
        mfu: share of the chip's peak that real tokens' arithmetic reaches.
    """
    batch = stand_in.mean_batch(run, stage)
    spans = {kind: arrays["span_lengths"] for kind, arrays in batch.items()}
    length = run.corpus.row_length
    needed = stages.needed_flops(
        stage.losses, run.encoder, run.objectives, spans, row_length=length
    )
    devices = run.backend.num_devices
    seconds = needed / (chip.peak * mfu * devices)  # of a step
    read = sum(stage.rows.values()) * run.corpus.row_bytes / seconds
    steps = stage.end - stage.start
    hosts = math.ceil(devices / CHIPS_OF_A_HOST)
    return Schedule(
        step_flops=needed,
        steps=steps,
        step_seconds=seconds,
        traffic=traffic(run, chip),
        hours=seconds * steps / 3600,
        input_rate=read,
        input_rate_of_a_host=read / hosts,
    )


def traffic(run: Run, chip: Chip) -> Traffic:
    """The traffic of any step of a run, whose devices are `chip`."""
    state, devices = run.abstract_state, run.backend.num_devices
    gradients = sum(_bytes(leaf) for leaf in jax.tree.leaves(state.params))
    through_memory = 2 * _bytes_placed(state) + 2 * gradients
    sent = 2 * gradients * (devices - 1) / devices
    return Traffic(through_memory / chip.bandwidth, sent / chip.interconnect)


def smaller(run: Run, stage: Stage) -> Iterator[tuple[str, Run, Stage]]:
    """The changes that save memory, in the order to try them: flags, run and stage.

    Sharding the state comes first where it is most of the memory, because it costs
    nothing but traffic, and stays. More micro-batches follow, each time twice as many,
    then recomputation, with as many micro-batches as before and again with more.
    """
    now = memory(run, stage)
    flags = []
    can_shard = run.config.backend == "jit" and not run.config.fsdp
    if can_shard and now.state > now.temporaries:
        flags, run = ["--config.fsdp=True"], _sharded(run)
        yield flags[0], run, stage
    for remat in sorted({run.encoder.remat, True}):
        recomputed = ["--config.model.remat=True"] * (remat != run.encoder.remat)
        encoder = dataclasses.replace(run.encoder, remat=remat)
        for parts in _divisions(run, stage):
            divided = [f"--config.stages[{stage.index}].micro_batches={parts}"]
            divided *= parts != stage.micro_batches
            if recomputed or divided:
                yield (
                    " ".join([*flags, *recomputed, *divided]),
                    dataclasses.replace(run, encoder=encoder),
                    dataclasses.replace(stage, micro_batches=parts),
                )


def _sharded(run: Run) -> Run:
    (leaf, *_) = jax.tree.leaves(run.abstract_state)
    devices = list(leaf.sharding.mesh.devices.flat)
    backend = build_backend("jit", fsdp=True, num_devices=0, devices=devices)
    return dataclasses.replace(run, backend=backend)


def _divisions(run: Run, stage: Stage) -> Iterator[int]:
    """The numbers of micro-batches that the rows of a device allow, fewest first."""
    parts = stage.micro_batches
    counts = [count // run.backend.num_devices for count in stage.rows.values()]
    while all(count % parts == 0 for count in counts):
        yield parts
        parts *= 2


def _bytes(x: Any) -> int:
    return math.prod(x.shape) * np.dtype(x.dtype).itemsize


def _bytes_placed(tree: Any) -> int:
    """The bytes of a tree on one device."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def _rows_of_a_part(run: Run, stage: Stage) -> dict[str, int]:
    """kind -> rows of a micro-batch on one device."""
    parts = run.backend.num_devices * stage.micro_batches
    return {kind: count // parts for kind, count in stage.rows.items()}


def _working(run: Run, stage: Stage, rows: dict[str, int]) -> int:
    """The bytes that are there for a moment while all is kept.

    Those of the logits of every kind of rows, whose passes a compiler may run side by
    side, and beside them of the last directed layer's attention.
    """
    narrow = np.dtype(run.encoder.dtype).itemsize
    length, heads = run.corpus.row_length, run.encoder.num_heads
    working = 0
    if MASKED_LM in stage.losses:
        working += _logits(run, rows, narrow)
    if "pair" in rows and stage.losses.keys() - {MASKED_LM}:
        # Both passes' scores and probabilities, and what dropout leaves of them.
        of_pair = 2 * heads * length**2 * (2 * _FLOAT32 + narrow)
        working += rows["pair"] * of_pair
    return working


def _logits(run: Run, rows: dict[str, int], narrow: int) -> int:
    """The bytes of logits and their narrow gradient, and of narrow words.

    The gradient of the words is kept and takes the logits' place, so what counts is by
    how much they are larger.
    """
    encoder, copied = run.encoder, narrow % _FLOAT32  # float32 needs no copies
    slots = num_slots(run.corpus.row_length, run.objectives.masking_rate)
    together = sum(
        count // num_parts(count, slots, encoder.vocab_size) for count in rows.values()
    )
    logits = together * slots * encoder.vocab_size * (_FLOAT32 + copied)
    words = encoder.vocab_size * encoder.hidden_size
    return max(0, logits + words * copied - len(rows) * words * _FLOAT32)


def _kept(run: Run, stage: Stage, rows: dict[str, int]) -> int:
    """The bytes that the backward pass needs of the forward pass, parameters left out.

    Args:
        run: of the stage.
        stage: whose losses are computed.
        rows: kind -> rows that one device computes together.
    """
    objective = stages.stage_objective(
        stage, run.encoder, run.objectives, seed=run.config.seed, shards=1
    )
    length, pairs = run.corpus.row_length, run.corpus.max_pairs
    alone = run.backend._replace(batch_like=lambda batch: batch)
    batch = stages.abstract_batch(rows, length, pairs, alone)

    def residuals(params: Params, batch: Batch) -> Any:
        def loss(params: Params) -> Any:
            key = dropout_key(run.config.seed)
            terms = objective(params, batch, key, train=True, axis_name=None)
            return sum(terms[name].total for name in stage.losses)

        return jax.tree.leaves(jax.vjp(loss, params)[1])

    jaxpr = jax.make_jaxpr(residuals)(run.abstract_state.params, batch).jaxpr
    kept = {origin: x.aval for x, origin in _origins(jaxpr)}
    of_arguments = set(jaxpr.invars)
    return sum(_bytes(x) for origin, x in kept.items() if origin not in of_arguments)


def _origins(jaxpr: Any) -> Iterator[tuple[Any, Any]]:
    """Each output of a program that is no constant, and what it is the bytes of.

    Reshaped arrays are the same bytes; so are outputs of a loop that its body makes
    of the same array.
    """
    origins: dict[Any, Any] = {}
    for equation in jaxpr.eqns:
        if equation.primitive.name in _SAME_BYTES:
            source = equation.invars[0]
            origins[equation.outvars[0]] = origins.get(source, source)
        elif equation.primitive.name == "scan":
            origins |= _origins_of_loop(equation)
    for x in jaxpr.outvars:
        if not isinstance(x, Literal):
            yield x, origins.get(x, x)


def _origins_of_loop(equation: Any) -> dict[Any, Any]:
    body, carried = equation.params["jaxpr"].jaxpr, equation.params["num_carry"]
    inside = dict(_origins(body))
    origins: dict[Any, Any] = {}
    first: dict[Any, Any] = {}
    pairs = zip(body.outvars[carried:], equation.outvars[carried:], strict=True)
    for within, outside in pairs:
        if not isinstance(within, Literal):
            origins[outside] = first.setdefault(inside[within], outside)
    return origins
