"""Our training step on the common work, built as pretraining builds a stage's."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from amber_jax.errors import UserError
from amber_jax.inference.devices import suited_to
from amber_jax.losses import LOSSES, MASKED_LM
from amber_jax.model.encoder import EncoderConfig
from amber_jax.pretraining import objectives, stages
from amber_jax.training import allocator
from amber_jax.training.keys import dropout_key
from amber_jax.training.optimizer import LINEAR, build_optimizer
from amber_jax.training.parallel import build_backend, build_in_place
from amber_jax.training.peak import matrix_rate
from amber_jax.training.state import TrainState
from benchmarks import packed_work, timing, workload

# Those of `config.pretraining()`, for machines without the library of configs.
DEFAULTS: dict[str, dict[str, Any]] = {
    "model": {
        "max_positions": 512,
        "num_segments": 2,
        "initializer_range": 0.02,
        "remat": False,
    },
    "optimizer": {
        "name": "adamw",
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-6,
        "weight_decay": 0.01,
        "clip_norm": 1.0,
    },
    "sentence_alignment": {
        "symmetric": False,
        "normalize": False,
        "scale": 1.0,
        "margin": 0.0,
        "special_tokens": False,
    },
    "word_alignment": {
        "form": "attention",
        "layer": -1,
        "renormalize": False,
        "special_tokens": False,
        "punctuation": True,
        "max_position_offset": 0,
    },
}
_RUN_STEPS = 1_000_000  # of the schedule; only the first few are run
MATRIX_WIDTH = 8192  # of products that tell what an accelerator reaches


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is run; the rest are `DEFAULTS`."""

    size: workload.Size
    lengths: str  # one of workload.LENGTHS
    packed: bool  # pairs share rows
    losses: tuple[str, ...]  # of LOSSES
    backend: str
    dtype: str  # of activations
    dropout: float
    micro_batches: int
    steps: int  # timed
    warmup: int  # not timed
    seed: int
    wait_idle: bool
    kernels: tuple[str, ...] = ()  # NAME=FORM, instead of what suits the device


class Prepared(NamedTuple):
    """A compiled step and what it takes."""

    step: jax.stages.Compiled
    state: TrainState  # given away by the first call
    batches: list[Any]
    put_batch: Callable[[Any], Any]
    key: jax.Array
    num_devices: int


def prepare(
    run: Settings, compiler_options: Mapping[str, Any] | None = None
) -> Prepared:
    """Returns everything up to the first step, which is a stage of pretraining's.

    Args:
        run: what is run.
        compiler_options: of XLA, besides those that it has from the environment.

    Raises:
        UserError: the settings do not go together.
    """
    _check(run)
    backend = build_backend(run.backend, fsdp=False, num_devices=0)
    _check_rows(run, backend.num_devices)
    batches = packed_work.batches(
        run.size,
        run.warmup + run.steps,
        lengths=run.lengths,
        packed=run.packed,
        seed=run.seed,
    )
    encoder, optimizer = encoder_config(run), build_optimizer(**DEFAULTS["optimizer"])
    key = dropout_key(run.seed)
    state = build_in_place(
        functools.partial(stages.first_state, encoder, optimizer, run.seed), backend
    )
    step = stages.compile_stage(
        _stage(run),
        encoder,
        _objectives(run),
        backend=backend,
        optimizer=optimizer,
        seed=run.seed,
    )
    lowered = step.lower(state, backend.put_batch(batches[0]), key)
    compiled = lowered.compile(compiler_options)
    allocator.give_back_unused()
    put_batch, devices = backend.put_batch, backend.num_devices
    return Prepared(compiled, state, batches, put_batch, key, devices)


def measure(run: Settings) -> dict[str, Any]:
    """Returns what `timing.measure` does, with what is ours, for one JSON line.

    On an accelerator also `mfu`: the arithmetic that the real tokens need, by
    `model/flops.py`, over what products of large matrices reach here.

    Raises:
        UserError: the settings do not go together.
    """
    step, state, batches, put_batch, key, num_devices = prepare(run)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))

    def update(number: int) -> float:
        nonlocal state
        state, metrics = step(state, put_batch(batches[number]), key)
        return float(metrics["loss"])

    spans = [kind["span_lengths"] for batch in batches for kind in batch.values()]
    tokens = [int(lengths.sum()) for lengths in spans]
    measured = timing.measure(
        update,
        warmup=run.warmup,
        tokens=tokens,
        flops=[needed_flops(run, lengths) for lengths in spans],
        idle=run.wait_idle,
    )
    return {
        "program": "amber_jax",
        "settings": dataclasses.asdict(run) | {"jax": jax.__version__},
        "parameters": parameters,
        "real_share": round(np.mean(tokens) / run.size.rows / run.size.row_length, 4),
        **measured,
        **_on_accelerator(run.dtype, num_devices, measured["gflops"]),
    }


def _check(run: Settings) -> None:
    unknown = [name for name in run.losses if name not in LOSSES]
    if unknown or not run.losses:
        raise UserError(
            f"--losses has {', '.join(unknown) or 'nothing'}; name some of "
            f"{', '.join(LOSSES)}, with commas between"
        )
    if run.lengths == "full" and run.losses != (MASKED_LM,):
        raise UserError(
            f"--losses is {','.join(run.losses)} on full rows, which hold one text; "
            "alignment needs --lengths=pairs"
        )


def _check_rows(run: Settings, devices: int) -> None:
    if run.size.rows % (devices * run.micro_batches):
        raise UserError(
            f"--rows is {run.size.rows}, which {devices} devices x "
            f"{run.micro_batches} micro-batches do not divide; choose a multiple"
        )


def encoder_config(run: Settings) -> EncoderConfig:
    """Returns the sizes and switches of the encoder that is run."""
    size, sizes = run.size, DEFAULTS["model"]
    wanted = (named.partition("=")[::2] for named in run.kernels)
    return EncoderConfig(
        **sizes
        | {
            "vocab_size": size.vocab_size,
            "num_layers": size.num_layers,
            "hidden_size": size.hidden_size,
            "num_heads": size.num_heads,
            "intermediate_size": size.intermediate_size,
            "max_positions": max(sizes["max_positions"], size.row_length),
            "hidden_dropout": run.dropout,
            "attention_dropout": run.dropout,
            "dtype": run.dtype,
        },
        kernels=suited_to(jax.local_devices()[0], dict(wanted)),
    )


def _stage(run: Settings) -> stages.Stage:
    return stages.Stage(
        index=0,
        name="",
        start=0,
        end=_RUN_STEPS,
        rows={},  # as the batches have them
        micro_batches=run.micro_batches,
        losses=_losses(run),
        schedule=LINEAR,
        peak_learning_rate=workload.LEARNING_RATE,
        warmup_steps=0,
        decay_steps=0,
        reset_optimizer=False,
    )


def _losses(run: Settings) -> dict[str, stages.LossWeight]:
    return dict.fromkeys(run.losses, stages.LossWeight(1.0))


def _objectives(run: Settings) -> stages.Objectives:
    return stages.Objectives(
        vocabulary=objectives.Vocabulary(
            special=(workload.PAD, workload.CLS, workload.SEP, workload.MASK),
            mask_id=workload.MASK,
            words=range(workload.MASK + 1, run.size.vocab_size),
            punctuation=np.zeros(run.size.vocab_size, bool),
        ),
        masking_rate=workload.MASKING_RATE,
        options=objectives.loss_options(DEFAULTS),
    )


def needed_flops(run: Settings, spans: np.ndarray) -> int:
    """Returns what a batch needs, see `model/flops.py`."""
    kind = "pair" if run.lengths == "pairs" else "mono"
    return stages.needed_flops(
        _losses(run),
        encoder_config(run),
        _objectives(run),
        {kind: spans},
        row_length=run.size.row_length,
    )


def _on_accelerator(dtype: str, devices: int, gflops: float) -> dict[str, Any]:
    """Returns memory and utilization, or nothing where XLA runs on the CPU."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return {}
    memory = device.memory_stats() or {}  # not every allocator counts
    rate = matrix_rate(dtype, width=MATRIX_WIDTH)
    return {
        "device": f"{devices} x {device.device_kind}",
        "peak_device_mb": round(memory.get("peak_bytes_in_use", 0) / 2**20, 1),
        "matrix_gflops": round(rate / 1e9, 1),
        "mfu": round(gflops * 1e9 / (rate * devices), 4),
    }
