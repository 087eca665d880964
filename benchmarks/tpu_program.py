"""What XLA:TPU makes of a config's stages, without a TPU.

    python -m benchmarks.tpu_program --config=configs/amber_base.py:sa \
        --config.backend=jit --config.model.dtype=bfloat16 \
        --topology=v5e:4x4,v6e:4x4 --layers=loop,side_by_side

Needs the extra `tpu`. The steps are those that training compiles. Printed are memory,
the compiler's own estimate of cycles, copies, collectives and paddings, of one device.
Cycles compare programs: what has no estimate, see compiled_text.py, is not in them.
"""

import functools
import itertools
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from amber_jax import config as settings
from amber_jax.commands import command_line
from amber_jax.commands.config_flag import define_config
from amber_jax.errors import UserError
from amber_jax.pretraining import budget, stand_in
from amber_jax.pretraining.preparation import Run
from amber_jax.pretraining.run import count_work
from amber_jax.pretraining.stages import Stage
from amber_jax.pretraining.stand_in import Rows
from amber_jax.training import slices
from amber_jax.training.keys import dropout_key
from amber_jax.training.slices import Slice
from benchmarks import compiled_text, tables

Tables = dict[str, list[tables.Row]]

_PRODUCT_WIDTH = 4096
_COMPARED = ("layers", "attention")  # fields of `Kernels`


def define_flags() -> None:
    define_config("the experiment")
    flags.DEFINE_list("topology", ["v5e:4x4"], "slices, as CHIP:SHAPE")
    flags.DEFINE_list("stages", [], "names; none: all of the config")
    for field in _COMPARED:
        flags.DEFINE_list(field, [], f"forms of kernels.{field} in turn; none: as is")
    without = "where the config names no corpus"
    flags.DEFINE_integer("row_length", 256, f"tokens, {without}", lower_bound=8)
    flags.DEFINE_integer("pair_tokens", 63, f"of a pair, {without}", lower_bound=6)
    flags.DEFINE_integer("max_pairs", 16, f"of a row, {without}", lower_bound=1)
    flags.DEFINE_bool("compile", True, "whether, or to leave it at the arithmetic")
    flags.DEFINE_integer("lines", 5, "of the longer tables", lower_bound=1)
    flags.DEFINE_string("save", None, "folder for the programs' texts")
    flags.mark_flags_as_required(["config"])
    tables.define_flag()


def main(_: list[str]) -> None:
    wanted = flags.FLAGS
    command_line.require_keys(wanted.config, settings.pretraining().keys())
    jax.config.update("jax_platforms", "cpu")  # libtpu would look for TPUs
    jax.config.update("jax_enable_compilation_cache", False)  # compiling is timed
    rows = Rows(wanted.row_length, wanted.pair_tokens, wanted.max_pairs)
    shown: Tables = {}
    for described in [slices.described(name) for name in wanted.topology]:
        shown.setdefault("a device", []).append(limits(described))
        for forms in itertools.product(
            *(
                wanted[field].value or [wanted.config.kernels[field]]
                for field in _COMPARED
            )
        ):
            config = wanted.config.copy_and_resolve_references()
            config.kernels.update(dict(zip(_COMPARED, forms, strict=True)))
            run = stand_in.prepare(config, rows, described.devices)
            for stage in _chosen(run.stages, wanted.stages):
                stage_tables = {"by arithmetic": [roofline(described, run, stage)]}
                if wanted.compile:
                    stage_tables |= compiled(described, run, stage, wanted.save)
                for title, lines in stage_tables.items():
                    shown.setdefault(title, []).extend(lines[: wanted.lines])
    tables.show({title: lines for title, lines in shown.items() if lines}, wanted.json)


def _chosen(stages: Any, names: list[str]) -> list[Stage]:
    known = [stage.name for stage in stages]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(
            f"--stages has {', '.join(unknown)}; the config's are {', '.join(known)}"
        )
    return [stage for stage in stages if stage.name in (names or known)]


def limits(described: Slice) -> tables.Row:
    """Returns what a device of the slice can do."""
    device = described.device
    return {
        "slice": described.name,
        "devices": len(described.devices),
        "TFLOP/s": round(device.peak / 1e12, 1),
        "HBM, GB/s": round(device.bandwidth / 1e9),
        "FLOPs a byte": round(device.intensity),
        "HBM, GB": round(device.memory / 1e9, 1),
        "to others, GB/s": round(device.interconnect / 1e9),
    }


def roofline(described: Slice, run: Run, stage: Stage) -> tables.Row:
    """Returns the least milliseconds of a step, each by what may bound it."""
    needed = _needed(run, stage)
    traffic = budget.traffic(run, described.device)
    return {
        "slice": described.name,
        "stage": stage.name,
        "rows": sum(stage.rows.values()) / run.backend.num_devices,
        "TFLOP": round(needed / 1e12, 2),
        "products, ms": round(1e3 * needed / described.device.peak, 1),
        "state, ms": round(1e3 * traffic.state, 1),
        "gradients, ms": round(1e3 * traffic.gradients, 1),
    }


def _needed(run: Run, stage: Stage) -> float:
    """Returns the FLOPs of a device's share of a step."""
    batch = stand_in.mean_batch(run, stage)
    return count_work(run, stage, batch).flops / run.backend.num_devices


@functools.cache
def product_flops_per_cycle(device: Any) -> float:
    """Returns what the compiler expects of one large bfloat16 product on a device.

    Shares of the peak are of that rate: then the clock, which nobody publishes, does
    not matter.
    """
    placed = jax.sharding.SingleDeviceSharding(device)
    shape = (_PRODUCT_WIDTH, _PRODUCT_WIDTH)
    matrix = jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=placed)
    text = jax.jit(jnp.matmul).lower(matrix, matrix).compile().as_text()
    cycles = compiled_text.cycles(compiled_text.parse(text))
    return 2 * _PRODUCT_WIDTH**3 / sum(cycles.values())


def compiled(
    described: Slice,
    run: Run,
    stage: Stage,
    folder: str | None,
) -> Tables:
    """Returns what is told of a stage's program, by title.

    Args:
        described: the slice.
        run: of a config on its devices.
        stage: of the run.
        folder: for the program's text, or None.
    """
    forms = run.encoder.kernels
    which = {
        "slice": described.name,
        "stage": stage.name,
        "layers": "loop" if run.encoder.remat else forms.layers,
        "attention": forms.attention,
    }
    key = jax.eval_shape(dropout_key, run.config.seed)
    lowered = run.compile(stage).lower(
        run.abstract_state, run.abstract_batch(stage), key
    )
    begin = time.process_time()
    try:
        program = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).split("\n")[0]
        return {"does not compile": [which | {"what the compiler says": reason}]}
    seconds = time.process_time() - begin
    text = program.as_text()
    _save(text, "-".join(which.values()), folder)
    parsed = compiled_text.parse(text)
    return {
        "memory of a device, MB": [
            which | _memory(program.memory_analysis(), described, run, stage, seconds)
        ],
        "millions of cycles, as the compiler estimates": [
            which | _cycles(parsed, described, run, stage)
        ],
        **_details(parsed, which),
    }


def _memory(
    memory: Any,
    described: Slice,
    run: Run,
    stage: Stage,
    seconds: float,
) -> tables.Row:
    return {
        "rows": sum(stage.rows.values()) / run.backend.num_devices,
        "arguments": round(memory.argument_size_in_bytes / 1e6),
        "temporaries": round(memory.temp_size_in_bytes / 1e6),
        "output": round(memory.output_size_in_bytes / 1e6),
        "of it aliased": round(memory.alias_size_in_bytes / 1e6),
        "peak": round(memory.peak_memory_in_bytes / 1e6),
        "HBM": round(described.device.memory / 1e6),
        "compiling, CPU-s": round(seconds),
    }


def _cycles(
    program: compiled_text.Program,
    described: Slice,
    run: Run,
    stage: Stage,
) -> tables.Row:
    cycles = compiled_text.cycles(program)
    total = sum(cycles.values())
    needed, peak = _needed(run, stage), described.device.peak
    rate = product_flops_per_cycle(described.devices[0])
    return {kind: round(count / 1e6, 1) for kind, count in cycles.items()} | {
        "all": round(total / 1e6, 1),
        "about, ms": round(1e3 * total * rate / peak, 1),
        "between devices, ms": round(1e3 * _between(program, described), 1),
        "share of the peak": round(needed / (total * rate), 3),
    }


def _between(program: compiled_text.Program, described: Slice) -> float:
    """Returns the least seconds that collectives take, beside the cycles or in them.

    A sum is sent twice, once to be added up and once to be told; the rest once.
    """
    sent = sum(
        collective.bytes * (2 if kind == "all-reduce" else 1)
        for (kind, _), collective in compiled_text.collectives(program).items()
    )
    count = len(described.devices)
    return sent * (count - 1) / count / described.device.interconnect


def _details(program: compiled_text.Program, which: dict[str, str]) -> Tables:
    copies = compiled_text.copies(program)
    every = list(copies.values())
    fetched = compiled_text.prefetches(program)
    moves = {
        "copies in the program": sum(copy.lines for copy in every),
        "in a step": sum(copy.times for copy in every),
        "GB": round(sum(copy.bytes for copy in every) / 1e9, 2),
        "prefetches in a step": fetched.times,
        "GB of them": round(fetched.bytes / 1e9, 2),
        "kernels in a step": sum(compiled_text.kernels(program).values()),
    }
    return {
        "the longest": [
            which
            | {
                "kind": instruction.kind,
                "array": instruction.array,
                "from": _short(instruction.origin),
            }
            | {
                "in a step": instruction.times,
                "Mcycles": round(instruction.cycles / 1e6, 2),
            }
            for instruction in compiled_text.longest(program)
        ],
        "moved within a device": [which | moves],
        "between devices": [
            which
            | {
                "what": kind,
                "of": dtype,
                "lines": collective.lines,
                "in a step": collective.times,
            }
            | {"MB": round(collective.bytes / 1e6, 1)}
            for (kind, dtype), collective in compiled_text.collectives(program).items()
        ],
        "the largest copies": [
            which
            | {"array": array, "from": _short(origin), "in a step": copy.times}
            | {"MB": round(copy.bytes / 1e6)}
            for (array, origin), copy in copies.items()
        ],
        "the largest paddings": [
            which
            | {"array": str(array), "tile": "x".join(map(str, array.tile))}
            | {"lines": count, "MB": round(array.logical_bytes / 1e6, 2)}
            | {"padded": round(array.padded_bytes / 1e6, 2)}
            for array, count in compiled_text.paddings(program).items()
        ],
    }


def _short(origin: str) -> str:
    """Returns the pass and the last parts of where an instruction comes from."""
    parts = [part for part in origin.split("/") if not part.startswith("jit(")]
    return "/".join(parts[:1] + parts[1:][-3:])


def _save(text: str, name: str, folder: str | None) -> None:
    if folder is None:
        return
    path = Path(folder) / f"{name.replace(':', '-')}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UserError(
            f"--save={folder}: cannot be written ({error.strerror}); give a folder "
            "that can"
        ) from error


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
