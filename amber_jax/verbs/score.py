"""Scores a folder of XTREME predictions against labels, as XTREME's evaluator does.

amber score --predictions=DIR --labels=DIR

Both hold TASK/test-XX.tsv; every language that has labels must have predictions.
"""

from absl import flags

from amber_jax.storage import location

_PREDICTIONS = flags.DEFINE_string("predictions", None, "folder of TASK/test-XX.tsv")
_LABELS = flags.DEFINE_string("labels", None, "folder of the same with gold labels")
flags.mark_flags_as_required(["predictions", "labels"])


def main(_: list[str]) -> None:
    from amber_jax.evaluation import xtreme

    labels = location(_LABELS.value)
    languages = {
        task: sorted(
            path.stem.removeprefix("test-")
            for path in (labels / task).glob("test-*.tsv")
        )
        for task in xtreme.LANGUAGES
    }
    scores = xtreme.score_folder(
        location(_PREDICTIONS.value), labels, languages=languages
    )
    for task, metrics in scores.items():
        for metric, by_language in metrics.items():
            cells = (f"{name} {score:.1f}" for name, score in by_language.items())
            print(f"{task} {metric}: {', '.join(cells)}")
