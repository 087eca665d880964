"""Scores a checkpoint: retrieval, word alignment, or the task it was fine-tuned on.

python launch/evaluate.py --config=configs/tatoeba.py --checkpoint=DIR --output=DIR
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from amber_jax.commands.command_line import require_keys, run

_CONFIG = config_flags.DEFINE_config_file("config", None, "evaluation, in configs/")
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "a run's workdir or checkpoint")
_OUTPUT = flags.DEFINE_string("output", None, "folder for results.json")
flags.mark_flags_as_required(["config", "checkpoint", "output"])


def main(_: list[str]) -> None:
    from amber_jax import config
    from amber_jax.commands import evaluate

    settings = _CONFIG.value
    require_keys(settings, ["task"])
    require_keys(settings, config.evaluation_defaults(settings.task).keys())
    results = evaluate.evaluate(settings, Path(_CHECKPOINT.value), Path(_OUTPUT.value))
    for result in results:
        print(evaluate.as_table(result), end="\n\n")


if __name__ == "__main__":
    run(main, on_devices=True)
