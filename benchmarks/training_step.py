"""Times our training step; the last line is one JSON object.

python -m benchmarks.training_step --size=small

To compare with other programs see compare.py, which runs this one as well.
"""

import json

from absl import flags

from amber_jax.commands import command_line
from benchmarks import workload

_SIZE = flags.DEFINE_enum("size", "small", [*workload.SIZES], "model and rows")
_LENGTHS = flags.DEFINE_enum("lengths", "full", workload.LENGTHS, "of the texts")
_PACKED = flags.DEFINE_bool("packed", True, "whether pairs share rows")
_ROW_LENGTH = flags.DEFINE_integer(
    "row_length", 0, "tokens; 0: the size's", lower_bound=0
)
_ROWS = flags.DEFINE_integer("rows", 0, "of a batch; 0: the size's", lower_bound=0)
_LOSSES = flags.DEFINE_list("losses", ["masked_lm"], "as configs name them")
_BACKEND = flags.DEFINE_enum("backend", "pmap", ["pmap", "jit"], "as in configs")
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "as in configs")
_DROPOUT = flags.DEFINE_float(
    "dropout", 0.1, "probability", lower_bound=0, upper_bound=0.99
)
_MICRO_BATCHES = flags.DEFINE_integer(
    "micro_batches", 1, "parts of a batch", lower_bound=1
)
_STEPS = flags.DEFINE_integer("steps", 8, "timed ones", lower_bound=1)
_WARMUP = flags.DEFINE_integer("warmup", 2, "untimed ones", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "of texts, parameters, masks", lower_bound=0)
_WAIT_IDLE = flags.DEFINE_bool("wait_idle", False, "before steps, for 8 s at most")
_KERNELS = flags.DEFINE_list("kernels", [], "NAME=FORM; else what suits the device")


def main(_: list[str]) -> None:
    from benchmarks import own_step

    measured = own_step.measure(
        own_step.Settings(
            size=workload.sized(
                _SIZE.value, row_length=_ROW_LENGTH.value, rows=_ROWS.value
            ),
            lengths=_LENGTHS.value,
            packed=_PACKED.value,
            losses=tuple(_LOSSES.value),
            backend=_BACKEND.value,
            dtype=_DTYPE.value,
            dropout=_DROPOUT.value,
            micro_batches=_MICRO_BATCHES.value,
            steps=_STEPS.value,
            warmup=_WARMUP.value,
            seed=_SEED.value,
            wait_idle=_WAIT_IDLE.value,
            kernels=tuple(_KERNELS.value),
        )
    )
    print(json.dumps(measured))


if __name__ == "__main__":
    command_line.run(main, on_devices=True)
