"""A stage of pretraining, built: its rows, losses, schedule and compiled step."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from amber_jax.data.schema import row_fields
from amber_jax.inference.loading import init_params
from amber_jax.losses import ATTENTION, MASKED_LM, OF_SENTENCES, WORDS
from amber_jax.model import flops
from amber_jax.model.encoder import EncoderConfig
from amber_jax.pretraining import objectives
from amber_jax.training.keys import init_key, mask_key
from amber_jax.training.optimizer import build_schedule
from amber_jax.training.parallel import Backend, abstract_like
from amber_jax.training.state import TrainState, new_state
from amber_jax.training.step import train_step
from amber_jax.types import Array, Objective


class LossWeight(NamedTuple):
    """How much a loss counts: 0 before `start_step`, then rising to `weight`."""

    weight: float
    start_step: int = 0  # of the stage
    warmup_steps: int = 0  # of the linear rise from there


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of a run with its numbers worked out."""

    index: int
    name: str
    start: int  # first step, in steps of the whole run
    end: int
    rows: Mapping[str, int]  # kind -> rows in the global batch
    micro_batches: int
    losses: Mapping[str, LossWeight]  # those that are used
    schedule: str
    peak_learning_rate: float
    warmup_steps: int
    decay_steps: int
    reset_optimizer: bool


@dataclasses.dataclass(frozen=True)
class Objectives:
    """What the objectives of all stages of a run have in common."""

    vocabulary: objectives.Vocabulary
    masking_rate: float
    options: Mapping[str, Any]  # loss -> its options, if it has some


def compile_stage(
    stage: Stage,
    encoder: EncoderConfig,
    options: Objectives,
    *,
    backend: Backend,
    optimizer: optax.GradientTransformation,
    seed: int,
) -> jax.stages.Wrapped:
    """The step of a stage; nothing is compiled before it is lowered or called.

    Args:
        stage: what is trained on what.
        encoder: its sizes.
        options: of the objective.
        backend: where it runs.
        optimizer: gradients -> descent direction.
        seed: of the run.
    """
    objective = stage_objective(
        stage, encoder, options, seed=seed, shards=backend.shards
    )
    rate = build_schedule(
        stage.schedule,
        stage.peak_learning_rate,
        warmup_steps=stage.warmup_steps,
        decay_steps=stage.decay_steps,
        num_steps=stage.end - stage.start,
    )
    step = functools.partial(
        train_step,
        objective=objective,
        loss_weights=lambda step: loss_weights(stage.losses, step - stage.start),
        learning_rate=lambda step: rate(step - stage.start),
        optimizer=optimizer,
        micro_batches=stage.micro_batches,
    )
    return backend.compile(step, abstract_state(encoder, optimizer, backend))


def stage_objective(
    stage: Stage, encoder: EncoderConfig, options: Objectives, *, seed: int, shards: int
) -> Objective:
    """The objective of a stage; arguments as of `compile_stage`.

    Args:
        stage: what is trained on what.
        encoder: its sizes.
        options: of the objective.
        seed: of the run.
        shards: as of `pretraining_objective`.
    """
    return objectives.pretraining_objective(
        encoder,
        options.vocabulary,
        losses=frozenset(stage.losses),
        masking_rate=options.masking_rate,
        mask_key=jax.random.fold_in(mask_key(seed), stage.index),
        options=options.options,
        shards=shards,
    )


def loss_weights(losses: Mapping[str, LossWeight], step: Array) -> dict[str, Array]:
    """The weight of every loss at `step` of a stage, [] float32 each."""
    scales = {}
    for name, (weight, start_step, warmup_steps) in losses.items():
        since = (step - start_step + 1).astype(jnp.float32)
        scales[name] = weight * jnp.clip(since / max(warmup_steps, 1), 0.0, 1.0)
    return scales


def first_state(
    encoder: EncoderConfig,
    optimizer: optax.GradientTransformation,
    seed: int,
    *,
    direct_head: bool = False,
) -> TrainState:
    """The state that a run with fresh parameters begins with.

    Args:
        encoder: the encoder.
        optimizer: whose memory is empty.
        seed: of the parameters.
        direct_head: whether the MLM head begins with the identity as its transform, so
            that vectors themselves are compared with the words. Over an encoder that
            was trained, a random one would mix up what its dimensions mean.
    """
    params = init_params(encoder, init_key(seed))
    if direct_head:
        head = params["mlm_head"]
        transform = {**head["transform"], "kernel": jnp.eye(encoder.hidden_size)}
        params = {**params, "mlm_head": {**head, "transform": transform}}
    return new_state(params, optimizer)


def abstract_state(
    encoder: EncoderConfig, optimizer: optax.GradientTransformation, backend: Backend
) -> TrainState:
    """The state's shapes, types and shardings; allocates nothing."""
    shapes = jax.eval_shape(lambda: first_state(encoder, optimizer, seed=0))
    return abstract_like(shapes, backend)


def abstract_batch(
    rows: Mapping[str, int], row_length: int, max_pairs: int, backend: Backend
) -> Any:
    """The shapes of the arrays that `put_batch` makes, for all processes.

    Args:
        rows: kind -> rows in the global batch.
        row_length: tokens of a row.
        max_pairs: pairs that a row has room for.
        backend: where they are put.
    """
    fields = row_fields(row_length, max_pairs)
    shapes = {
        kind: {
            name: jax.ShapeDtypeStruct((count, *field.shape), field.dtype)
            for name, field in fields.items()
        }
        for kind, count in rows.items()
    }
    return backend.batch_like(shapes)


def needed_flops(
    losses: Mapping[str, LossWeight],
    encoder: EncoderConfig,
    options: Objectives,
    spans: Mapping[str, np.ndarray],
    *,
    row_length: int,
) -> int:
    """The arithmetic that a step needs, see `model/flops.py`.

    Args:
        losses: those that are used.
        encoder: its sizes.
        options: of the objective.
        spans: kind -> span lengths [B, N, 2] of the batch.
        row_length: tokens of a row.
    """
    total = 0
    if MASKED_LM in losses:
        total += sum(
            flops.masked_lm(
                encoder,
                of_kind,
                row_length=row_length,
                masking_rate=options.masking_rate,
                separators=options.vocabulary.separators,
            )
            for of_kind in spans.values()
        )
    if "pair" in spans:
        total += _directed_flops(losses, encoder, options, spans["pair"])
    return total


def _directed_flops(
    losses: Mapping[str, LossWeight],
    encoder: EncoderConfig,
    options: Objectives,
    spans: np.ndarray,
) -> int:
    words = options.options[WORDS]
    sentences, by_words = bool(OF_SENTENCES & losses.keys()), WORDS in losses
    if by_words and words.form != ATTENTION:
        # Vectors of sides read alone, which the sentence loss has on its way up.
        if not sentences:
            depth = objectives.word_layer(words, encoder)
            encoder = dataclasses.replace(encoder, num_layers=depth)
        sentences, by_words = True, False
    return flops.directed(
        encoder,
        spans,
        sentences=sentences,
        words=by_words,
        separators=options.vocabulary.separators,
    )
