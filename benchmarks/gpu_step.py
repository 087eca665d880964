"""Our step on one accelerator, and each form of it exchanged in turn.

    python -m benchmarks.gpu_step
    python -m benchmarks.gpu_step --size=tiny --shrink=32 --steps=2     # in miniature

Needs jax, flax, optax, chex, orbax and numpy: no TensorFlow, no library of configs. All
programs are compiled first, side by side, and then run one after the other. One line
of JSON each: the matrix rate, every step with its MFU, memory and compile time, and how
far the forms of attention are from the written one, gradients included.
"""

import concurrent.futures
import dataclasses
import json
import statistics
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from amber_jax.losses import LOSSES
from amber_jax.model import rows
from amber_jax.model.kernels import FORMS, attention, suited_to
from benchmarks import own_step, workload

_SIZE = flags.DEFINE_enum("size", "base", [*workload.SIZES], "of the model")
_SHRINK = flags.DEFINE_integer("shrink", 1, "rows are divided by this", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 10, "timed ones", lower_bound=1)
_WARMUP = 2
_MATRIX_WIDTH = 8192  # on an accelerator


class Work(NamedTuple):
    """Rows of a batch, and what is computed of them."""

    lengths: str
    rows: int
    row_length: int
    losses: tuple[str, ...]


_WORK = {
    "masked_lm 256 x 128": Work("full", 256, 128, LOSSES[:1]),
    "masked_lm 64 x 512": Work("full", 64, 512, LOSSES[:1]),
    "all losses 128 x 256": Work("pairs", 128, 256, LOSSES),
}


def programs(device: Any) -> dict[str, own_step.Settings]:
    """Returns the steps that are run, by name: the works, then changes of the first."""
    found = {name: _settings(one) for name, one in _WORK.items()}
    first_name, first = next(iter(found.items()))
    found[f"{first_name}, no dropout"] = dataclasses.replace(first, dropout=0.0)
    suited = dataclasses.asdict(suited_to(device))
    for field, forms in FORMS.items():
        for form in forms if field != "attention" else ():
            if form != suited[field]:
                other = dataclasses.replace(first, kernels=(f"{field}={form}",))
                found[f"{first_name}, {field} {form}"] = other
    if suited["attention"] != "written":  # kernels take what is not dropped from
        found[f"{first_name}, no dropout, attention written"] = dataclasses.replace(
            first, dropout=0.0, kernels=("attention=written",)
        )
    return found


def _settings(work: Work) -> own_step.Settings:
    wide = jax.devices()[0].platform == "cpu"
    count = max(1, work.rows // _SHRINK.value)
    size = workload.sized(_SIZE.value, row_length=work.row_length, rows=count)
    return own_step.Settings(
        size=size,
        lengths=work.lengths,
        packed=True,
        losses=work.losses,
        backend="jit",
        dtype="float32" if wide else "bfloat16",
        dropout=0.1,
        micro_batches=1,
        steps=_STEPS.value,
        warmup=_WARMUP,
        seed=0,
        wait_idle=False,
    )


def _timed(prepared: own_step.Prepared, run: own_step.Settings) -> dict[str, Any]:
    """Returns milliseconds of a step, steps timed together, and the last loss."""
    state = prepared.state
    batches = [prepared.put_batch(one) for one in prepared.batches]
    for batch in batches[: run.warmup]:
        state, metrics = prepared.step(state, batch, prepared.key)
    float(metrics["loss"])
    begin = time.perf_counter()
    for batch in batches[run.warmup :]:
        state, metrics = prepared.step(state, batch, prepared.key)
    loss = float(metrics["loss"])
    seconds = (time.perf_counter() - begin) / run.steps
    spans = [one["span_lengths"] for b in prepared.batches for one in b.values()]
    tokens = statistics.mean(int(one.sum()) for one in spans[run.warmup :])
    needed = statistics.mean(own_step.needed_flops(run, s) for s in spans[run.warmup :])
    return {
        "ms": round(1e3 * seconds, 2),
        "tokens_per_s": round(tokens / seconds),
        "flops_per_s": needed / seconds,
        "temporaries_mb": prepared.step.memory_analysis().temp_size_in_bytes // 2**20,
        "loss": round(loss, 4),
    }


def _compiled(run: own_step.Settings) -> tuple[own_step.Prepared, float]:
    begin = time.perf_counter()
    prepared = own_step.prepare(run)
    return prepared, round(time.perf_counter() - begin, 1)


def differences(device: Any) -> dict[str, float]:
    """Returns how far cuDNN's result and gradients are from the written form's.

    Relative to their norm, in bfloat16, of rows of one and of sixteen pairs; {} where
    the device has no such kernel.
    """
    if suited_to(device).attention != "cudnn":
        return {}
    random = np.random.default_rng(0)
    spans = np.zeros((4, 16, 2), np.int32)
    spans[0, 0], spans[1], spans[2, :3] = (70, 50), (4, 4), (9, 12)
    found = {}
    for directed in (False, True):
        mask_of = rows.directed_attention if directed else rows.full_attention
        mask = mask_of(rows.layout(jnp.asarray(spans), 128))
        heads = jnp.asarray(random.normal(size=(4, 128, 3, 12, 64)), jnp.bfloat16)
        attends = mask.dense().any(-1)[..., None, None]

        def number(heads: jax.Array, form: str, mask=mask, attends=attends) -> Any:
            mixed = attention.attend(heads, mask, seeds=None, rate=0.0, form=form)
            return (jnp.sin(mixed.astype(jnp.float32)) * attends).sum()

        written, kernel = (
            jax.jit(jax.grad(number), static_argnums=1)(heads, form).astype(jnp.float32)
            for form in ("written", "cudnn")
        )
        name = "directed" if directed else "whole pair"
        distance = jnp.linalg.norm(kernel - written) / jnp.linalg.norm(written)
        found[name] = round(float(distance), 5)
    return found


def main(_: list[str]) -> None:
    device = jax.devices()[0]
    on_cpu = device.platform == "cpu"
    dtype, width = ("float32", 512) if on_cpu else ("bfloat16", _MATRIX_WIDTH)
    rate = own_step.matrix_rate(dtype, width=width)
    print(json.dumps({"device": device.device_kind, "jax": jax.__version__}))
    print(json.dumps({"matrix_tflops": round(rate / 1e12, 3), "of": dtype}))
    runs = programs(device)
    with concurrent.futures.ThreadPoolExecutor(2 if on_cpu else len(runs)) as pool:
        futures = {name: pool.submit(_compiled, run) for name, run in runs.items()}
        for name, run in runs.items():  # none runs while another is compiled
            concurrent.futures.wait(futures.values())
            prepared, seconds = futures.pop(name).result()
            measured = _timed(prepared, run)
            mfu = round(measured.pop("flops_per_s") / rate, 4)
            compiled = {"mfu": mfu, "compile_s": seconds}
            print(json.dumps({"work": name, **measured, **compiled}), flush=True)
    print(json.dumps({"cudnn_from_written": differences(device)}))


if __name__ == "__main__":
    app.run(main)
