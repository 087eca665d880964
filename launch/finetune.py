"""Fine-tunes a checkpoint on English, tests it in every language; resumes if rerun.

python launch/finetune.py --config=configs/udpos.py --config.data=DIR \
    --checkpoint=DIR --workdir=DIR
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from amber_jax.commands.command_line import require_keys, run

_CONFIG = config_flags.DEFINE_config_file("config", None, "task, in configs/")
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "a run's workdir or checkpoint")
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of the runs, one a seed")
flags.mark_flags_as_required(["config", "checkpoint", "workdir"])


def main(_: list[str]) -> None:
    from amber_jax import config
    from amber_jax.finetuning import run as finetune

    require_keys(_CONFIG.value, config.finetuning("xnli").keys())
    finetune.finetune(_CONFIG.value, Path(_CHECKPOINT.value), Path(_WORKDIR.value))


if __name__ == "__main__":
    run(main, on_devices=True)
