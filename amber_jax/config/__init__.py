"""Every setting, once, with its unit, its source and a default.

Configs are locked: assigning a key that is not here fails with a suggestion. An
experiment is one file of `configs/` that starts from a function of this package.
"""

import json
from typing import Any

from ml_collections import ConfigDict

from amber_jax.config.corpus import corpus
from amber_jax.config.evaluation import (
    alignment_problems,
    evaluation,
    evaluation_problems,
    retrieval,
    retrieval_problems,
    sentence_vector_problems,
    word_alignment_evaluation,
    word_alignment_problems,
)
from amber_jax.config.finetuning import finetuning, finetuning_problems
from amber_jax.config.pretraining import as_variant, pretraining, stage, validate
from amber_jax.config.variants import VARIANTS, refuse_variant
from amber_jax.tasks import FINE_TUNED, WORD_ALIGNMENT

__all__ = [
    "VARIANTS",
    "alignment_problems",
    "as_json",
    "as_variant",
    "corpus",
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
    """Returns the defaults of whatever `amber evaluate` does for `task`."""
    if task in FINE_TUNED:
        return finetuning(task)
    return word_alignment_evaluation() if task == WORD_ALIGNMENT else evaluation()


def as_json(config: ConfigDict) -> dict[str, Any]:
    """Returns a config as JSON can hold it: tuples become lists."""
    return json.loads(config.to_json_best_effort())
