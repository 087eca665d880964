"""What XLA:TPU makes of a config's stages, without a TPU.

    python -m benchmarks.tpu_program --config=configs/amber_base.py:sa \
        --config.backend=jit --config.model.dtype=bfloat16 \
        --topology=v5e:4x4,v6e:4x4 --layers=loop,side_by_side

Needs the extra `tpu`. The steps are those that training compiles. Printed are memory,
the compiler's own estimate of cycles, copies, collectives and paddings, of one device.
Cycles are an estimate: none for collectives, gathers, scatters, sorts, kernels of
Pallas, and nothing of what the memory's bandwidth may bound. They compare programs.
"""

import os
import time
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from amber_jax import command_line
from benchmarks import tables

_CONFIG = config_flags.DEFINE_config_file("config", None, "experiment, in configs/")
_TOPOLOGY = flags.DEFINE_list("topology", ["v5e:4x4"], "slices, as CHIP:SHAPE")
_STAGES = flags.DEFINE_list("stages", [], "names; none: all of the config")
_LAYERS = flags.DEFINE_list(
    "layers", [], "forms of kernels.layers to compile in turn; none: the config's"
)
_ROW_LENGTH = flags.DEFINE_integer(
    "row_length", 256, "tokens, where the config names no corpus", lower_bound=8
)
_PAIR_TOKENS = flags.DEFINE_integer(
    "pair_tokens", 63, "real ones of a pair, as above", lower_bound=6
)
_MAX_PAIRS = flags.DEFINE_integer("max_pairs", 16, "of a row, as above", lower_bound=1)
_LINES = flags.DEFINE_integer("lines", 5, "of the longer tables", lower_bound=1)
_SAVE = flags.DEFINE_string("save", None, "folder for the programs' texts")
flags.mark_flags_as_required(["config"])
tables.define_flag()

_PRODUCT_WIDTH = 4096


def main(_: list[str]) -> None:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # libtpu would be asked for TPUs
    import jax

    from benchmarks import tpu_slice

    jax.config.update("jax_enable_compilation_cache", False)  # compiling is timed
    rows = tpu_slice.Rows(_ROW_LENGTH.value, _PAIR_TOKENS.value, _MAX_PAIRS.value)
    shown: dict[str, list[tables.Row]] = {}
    slices = [tpu_slice.described(name) for name in _TOPOLOGY.value]
    for described in slices:
        rate = _product_flops_per_cycle(described.devices[0])
        for layers in _LAYERS.value or [_CONFIG.value.kernels.layers]:
            config = _CONFIG.value.copy_and_resolve_references()
            config.kernels.layers = layers
            run = tpu_slice.prepare(config, rows, described.devices)
            for stage in _chosen(run.stages):
                _add(shown, _compiled(described, run, stage, rate))
    tables.show(shown, flags.FLAGS.json)


def _chosen(stages: Any) -> list[Any]:
    from amber_jax.errors import UserError

    names = [stage.name for stage in stages]
    unknown = [name for name in _STAGES.value if name not in names]
    if unknown:
        raise UserError(
            f"--stages has {', '.join(unknown)}; the config's are {', '.join(names)}"
        )
    return [stage for stage in stages if stage.name in (_STAGES.value or names)]


def _add(
    shown: dict[str, list[tables.Row]], found: dict[str, list[tables.Row]]
) -> None:
    for title, rows in found.items():
        if rows:
            shown[title] = shown.get(title, []) + rows


def _product_flops_per_cycle(device: Any) -> float:
    """Returns what the compiler expects of one large bfloat16 product.

    That is the rate that shares of the peak are of: then the clock, which nobody
    publishes, does not matter.
    """
    import jax
    import jax.numpy as jnp

    from benchmarks import compiled_text

    placed = jax.sharding.SingleDeviceSharding(device)
    shape = (_PRODUCT_WIDTH, _PRODUCT_WIDTH)
    matrix = jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=placed)
    text = jax.jit(jnp.matmul).lower(matrix, matrix).compile().as_text()
    cycles = compiled_text.cycles(compiled_text.parse(text))
    return 2 * _PRODUCT_WIDTH**3 / sum(cycles.values())


def _compiled(
    described: Any, run: Any, stage: Any, rate: float
) -> dict[str, list[tables.Row]]:
    """Returns the tables of one program, of a line or a few each."""
    import jax

    from amber_jax import pretrain
    from benchmarks import compiled_text, tpu_slice

    layers = "loop" if run.encoder.remat else run.encoder.kernels.layers
    which = {"slice": described.name, "stage": stage.name, "layers": layers}
    key = jax.ShapeDtypeStruct(run.dropout_key.shape, run.dropout_key.dtype)
    lowered = pretrain.compile_stage(run, stage).lower(
        pretrain.abstract_state(run), pretrain.abstract_batch(run, stage), key
    )
    begin = time.process_time()
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).split("\n")[0]
        return {"does not compile": [which | {"what the compiler says": reason}]}
    seconds = time.process_time() - begin
    text = compiled.as_text()
    _save(text, "-".join(which.values()))
    program = compiled_text.parse(text)
    batch = tpu_slice.mean_batch(run, stage)
    needed = pretrain.count_work(run, stage, batch).flops / run.backend.num_devices
    rows = sum(stage.rows.values()) / run.backend.num_devices
    cycles = compiled_text.cycles(program)
    total = sum(cycles.values())
    memory = compiled.memory_analysis()
    peak = described.device.peak
    return {
        "memory of a device, MB": [
            which
            | {
                "rows": rows,
                "arguments": round(memory.argument_size_in_bytes / 1e6),
                "temporaries": round(memory.temp_size_in_bytes / 1e6),
                "output": round(memory.output_size_in_bytes / 1e6),
                "of it aliased": round(memory.alias_size_in_bytes / 1e6),
                "HBM": round(described.device.memory / 1e6),
                "compiling, CPU-s": round(seconds),
            }
        ],
        "millions of cycles, as the compiler estimates": [
            which
            | {kind: round(count / 1e6, 1) for kind, count in cycles.items()}
            | {
                "all": round(total / 1e6, 1),
                "TFLOP needed": round(needed / 1e12, 2),
                "ms at the peak": round(1e3 * needed / peak, 1),
                "ms between devices": round(1e3 * _between(program, described), 1),
                "ms of these cycles": round(1e3 * total * rate / peak, 1),
                "share of the peak": round(needed / (total * rate), 3),
            }
        ],
        **_details(program, which),
    }


def _between(program: Any, described: Any) -> float:
    """Returns the least seconds that collectives take.

    A sum is sent twice, once to be added up and once to be told; the rest once.
    """
    from benchmarks import compiled_text

    sent = sum(
        one.bytes * (2 if kind == "all-reduce" else 1)
        for (kind, _), one in compiled_text.collectives(program).items()
    )
    count = len(described.devices)
    return sent * (count - 1) / count / described.device.interconnect


def _details(program: Any, which: dict[str, str]) -> dict[str, list[tables.Row]]:
    from benchmarks import compiled_text

    copies = compiled_text.copies(program)
    every = list(copies.values())
    fetched = compiled_text.prefetches(program)
    moves = {
        "copies in the program": sum(one.lines for one in every),
        "in a step": sum(one.times for one in every),
        "GB": round(sum(one.bytes for one in every) / 1e9, 2),
        "prefetches in a step": fetched.times,
        "GB of them": round(fetched.bytes / 1e9, 2),
        "kernels in a step": sum(compiled_text.kernels(program).values()),
    }
    return {
        "moved within a device": [which | moves],
        "between devices": [
            which
            | {"what": kind, "of": dtype, "lines": one.lines, "in a step": one.times}
            | {"MB": round(one.bytes / 1e6, 1)}
            for (kind, dtype), one in compiled_text.collectives(program).items()
        ],
        "the largest copies": [
            which
            | {"array": array, "from": _short(origin), "in a step": one.times}
            | {"MB": round(one.bytes / 1e6)}
            for (array, origin), one in list(copies.items())[: _LINES.value]
        ],
        "the largest paddings": [
            which
            | {"array": str(array), "tile": "x".join(map(str, array.tile))}
            | {"lines": count, "MB": round(array.logical_bytes / 1e6, 2)}
            | {"padded": round(array.padded_bytes / 1e6, 2)}
            for array, count in list(compiled_text.paddings(program).items())[
                : _LINES.value
            ]
        ],
    }


def _short(origin: str) -> str:
    """Returns the pass and the last parts of where an instruction comes from."""
    parts = [part for part in origin.split("/") if not part.startswith("jit(")]
    return "/".join(parts[:1] + parts[1:][-3:])


def _save(text: str, name: str) -> None:
    if _SAVE.value is None:
        return
    folder = Path(_SAVE.value)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name.replace(':', '-')}.txt").write_text(text, "utf-8")


if __name__ == "__main__":
    command_line.run(main)
