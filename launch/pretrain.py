"""Pretrains an encoder; run again to resume.

python launch/pretrain.py --config=configs/amber_tiny.py:sa --workdir=runs/tiny
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from amber_jax.command_line import run

_CONFIG = config_flags.DEFINE_config_file("config", None, "experiment, in configs/")
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "say what would be done, do not train")
flags.mark_flags_as_required(["config", "workdir"])


def main(_: list[str]) -> None:
    from amber_jax import pretrain

    if _DRY_RUN.value:
        pretrain.dry_run(_CONFIG.value)
    else:
        pretrain.pretrain(_CONFIG.value, Path(_WORKDIR.value))


if __name__ == "__main__":
    run(main)
