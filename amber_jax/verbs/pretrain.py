"""Pretrains an encoder; run again to resume.

amber pretrain --config=amber_tiny.py:sa --config.corpus=DIR --workdir=DIR

On several hosts, start the same command on each with --config.backend=jit and
--distributed=auto (a TPU pod or Slurm), or --distributed=HOST:PORT,COUNT,INDEX.
"""

import contextlib
from pathlib import Path

from absl import flags

from amber_jax.commands.command_line import require_keys
from amber_jax.commands.config_flag import define_config

_CONFIG = define_config("the experiment")
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "say what would be done, do not train")
_DISTRIBUTED = flags.DEFINE_string(
    "distributed", None, "join other processes: auto, or HOST:PORT,COUNT,INDEX"
)
_PROFILE = flags.DEFINE_string(
    "profile",
    None,
    "FIRST:LAST, as 10:15: trace these steps into WORKDIR/profile; step 1 is the "
    "first that this command executes, also where it resumes a run",
)
flags.mark_flags_as_required(["config", "workdir"])


def main(_: list[str]) -> None:
    with contextlib.ExitStack() as stack:
        if _DISTRIBUTED.value:
            from amber_jax.training.peers import joined

            stack.enter_context(joined(_DISTRIBUTED.value))
        from amber_jax import config
        from amber_jax.pretraining import run as pretrain
        from amber_jax.training.profile import parse_window

        require_keys(_CONFIG.value, config.pretraining().keys())
        window = None if _PROFILE.value is None else parse_window(_PROFILE.value)
        if _DRY_RUN.value:
            pretrain.dry_run(_CONFIG.value)
        else:
            pretrain.pretrain(_CONFIG.value, Path(_WORKDIR.value), profile=window)
