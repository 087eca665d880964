"""Scores a checkpoint: retrieval, word alignment, or the task it was fine-tuned on.

amber evaluate --config=tatoeba.py --checkpoint=DIR --output=DIR
"""

from absl import flags

from amber_jax.commands.command_line import require_keys
from amber_jax.commands.config_flag import define_config
from amber_jax.commands.distributed_flag import define_distributed
from amber_jax.storage import location

_CONFIG = define_config("the evaluation")
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "a run's workdir or checkpoint, or a Hugging Face folder"
)
_OUTPUT = flags.DEFINE_string("output", None, "folder for results.json")
_together = define_distributed()
flags.mark_flags_as_required(["config", "checkpoint", "output"])


def main(_: list[str]) -> None:
    from amber_jax import config
    from amber_jax.commands import evaluate
    from amber_jax.report.terminal import results_as_text
    from amber_jax.training.agreement import is_first

    settings = _CONFIG.value
    require_keys(settings, ["task"])
    require_keys(settings, config.evaluation_defaults(settings.task).keys())
    with _together():
        results = evaluate.evaluate(
            settings, location(_CHECKPOINT.value), location(_OUTPUT.value)
        )
        if is_first():
            print(results_as_text(results))
