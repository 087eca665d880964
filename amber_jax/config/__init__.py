"""Every setting, once, with its unit, its source and a default.

Configs are locked: assigning a key that is not here fails with a suggestion. An
experiment is one file of `configs/` that starts from a function of this package.
"""

from ml_collections import ConfigDict

from amber_jax.config.evaluation import (
    RETRIEVAL,
    SIMILARITIES,
    WORD_ALIGNMENT,
    alignment_problems,
    evaluation,
    evaluation_problems,
    retrieval,
    retrieval_problems,
    sentence_vector_problems,
    word_alignment_evaluation,
    word_alignment_problems,
)
from amber_jax.config.finetuning import TASKS, finetuning, finetuning_problems
from amber_jax.config.pretraining import as_variant, pretraining, stage, validate
from amber_jax.config.variants import VARIANTS, refuse_variant

__all__ = [
    "RETRIEVAL",
    "SIMILARITIES",
    "TASKS",
    "VARIANTS",
    "WORD_ALIGNMENT",
    "alignment_problems",
    "as_variant",
    "evaluation",
    "evaluation_defaults",
    "evaluation_problems",
    "finetuning",
    "finetuning_problems",
    "pretraining",
    "refuse_variant",
    "retrieval",
    "retrieval_problems",
    "sentence_vector_problems",
    "stage",
    "validate",
    "word_alignment_evaluation",
    "word_alignment_problems",
]


def evaluation_defaults(task: str) -> ConfigDict:
    """Returns the defaults of whatever launch/evaluate.py does for `task`."""
    if task in TASKS:
        return finetuning(task)
    return word_alignment_evaluation() if task == WORD_ALIGNMENT else evaluation()
