"""What a run is going to do, in words, before anything is trained."""

from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict

from amber_jax.evaluation.retrieve import build_retrieval
from amber_jax.inference.loading import MAY_DIFFER
from amber_jax.inference.trained import encoding_defaults
from amber_jax.pretraining import stand_in
from amber_jax.pretraining.forecast import Target, ask_compiler, forecast, lower
from amber_jax.pretraining.preparation import Run, parameters_to_begin_with, prepare
from amber_jax.pretraining.stages import LossWeight, Stage
from amber_jax.training.optimizer import describe_schedule

_NO_EXPORT = (
    "the tokenizer joins pairs as XLM-R does, whose second sentences have segment 0, "
    "but model.second_segment is 1: such a model cannot be exported to Hugging Face's "
    "format; set model.second_segment to 0 if it is to be"
)


def describe(run: Run) -> str:
    """Size, memory, batches and schedule of the run, in lines."""
    state = run.abstract_state
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    per_device = sum(
        leaf.dtype.itemsize * int(np.prod(leaf.sharding.shard_shape(leaf.shape)))
        for leaf in jax.tree.leaves(state)
    )
    lines = [
        *_describe_beginning(run),
        f"parameters {count:,}; {run.encoder.num_layers} layers of "
        f"{run.encoder.hidden_size}, vocabulary {run.encoder.vocab_size:,}",
        f"state per device {per_device:,} bytes (parameters and optimizer), "
        f"{run.backend.num_devices} devices, backend {run.config.backend}"
        f"{' with fsdp' if run.config.fsdp else ''}",
        f"kernels: {run.encoder.kernels}",
    ]
    return "\n".join(lines + [_describe_stage(run, stage) for stage in run.stages])


def dry_run(
    config: ConfigDict,
    note: Callable[[str], None] = print,
    *,
    target: Target | None = None,
) -> None:
    """Prints what `pretrain` would do and lowers every stage's step, without training.

    Args:
        config: as of `pretrain`; with a target it may lack a corpus.
        note: called with the lines.
        target: the slice to lower for, and to say what the run would take there; None
            for this machine.

    Raises:
        UserError: as `prepare`, or an evaluation cannot be run, or the parameters to
            begin with do not fit.
    """
    if target is None:
        run = prepare(config)
    else:
        run = stand_in.prepare(config, stand_in.Rows(), suited=target.limits)
    if config.corpus:
        initial = parameters_to_begin_with(run, note)
        encoding = encoding_defaults(initial.run if initial else {})
        for retrieval in config.evaluations:
            build_retrieval(retrieval, run.encoder, run.tokenizer, encoding)
    else:
        note(stand_in.describe(run))
    note(describe(run))
    for stage in run.stages:
        size = len(lower(run, stage, platform=target and target.limits.platform))
        note(f"stage {stage.name}: the train step lowers ({size:,} characters)")
    if target is None:
        return
    for line in forecast(run, target):
        note(line)
    if target.compiled:
        ask_compiler(config, target, note)


def _describe_beginning(run: Run) -> list[str]:
    """Says which sizes are another model's, or what the config's own rule out."""
    if not run.config.init_checkpoint:
        as_xlm_r = run.tokenizer.special.separators == 2
        return [_NO_EXPORT] if as_xlm_r and run.encoder.second_segment else []
    sizes = [
        f"{name} {value}"
        for name, value in run.encoder.recorded().items()
        if name not in MAY_DIFFER
    ]
    return [f"sizes from {run.config.init_checkpoint}: {', '.join(sizes)}"]


def _describe_stage(run: Run, stage: Stage) -> str:
    rows = [_describe_rows(run, kind, count) for kind, count in stage.rows.items()]
    losses = [_describe_loss(name, weight) for name, weight in stage.losses.items()]
    return (
        f"stage {stage.name}: steps {stage.start + 1:,}-{stage.end:,}; a batch is "
        f"{' and '.join(rows)} in {stage.micro_batches} part(s); {', '.join(losses)}; "
        f"learning rate {stage.peak_learning_rate:g} after {stage.warmup_steps:,} "
        f"steps, {describe_schedule(stage.schedule, stage.decay_steps)}"
    )


def _describe_rows(run: Run, kind: str, count: int) -> str:
    streams = run.corpus.streams[kind].values()
    pairs = sum(s.rate * s.pairs / s.rows for s in streams) * count
    tokens = sum(s.rate * s.real_tokens / s.rows for s in streams) * count
    return (
        f"{count} {kind} rows of {run.corpus.row_length} = {pairs:,.0f} pairs = "
        f"{tokens:,.0f} real tokens"
    )


def _describe_loss(name: str, loss: LossWeight) -> str:
    begin = f" from step {loss.start_step}" if loss.start_step else ""
    return f"{name} x{loss.weight:g}{begin}"
