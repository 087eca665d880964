"""Fine-tunes a checkpoint on English, tests it in every language; resumes if rerun.

amber finetune --config=udpos.py --config.data=DIR \
    --checkpoint=DIR --workdir=DIR
"""

from absl import flags

from amber_jax.commands.command_line import require_keys
from amber_jax.commands.config_flag import define_config
from amber_jax.commands.distributed_flag import define_distributed
from amber_jax.stopping import START_AGAIN
from amber_jax.storage import location

_CONFIG = define_config("the task")
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a run's workdir or checkpoint, or a Hugging Face folder"
)
_WORKDIR = flags.DEFINE_string("workdir", None, "folder of the runs, one a seed")
_together = define_distributed()
flags.mark_flags_as_required(["config", "checkpoint", "workdir"])


def main(_: list[str]) -> None:
    from amber_jax import config
    from amber_jax.finetuning import run as finetune

    require_keys(_CONFIG.value, config.finetuning("xnli").keys())
    with _together():
        results = finetune.finetune(
            _CONFIG.value, location(_CHECKPOINT.value), location(_WORKDIR.value)
        )
        if not results:  # asked to stop
            raise SystemExit(START_AGAIN)
