"""What a task is trained, chosen and tested on, read from its files."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from amber_jax.datasets.examples import Read
from amber_jax.datasets.readers import READERS
from amber_jax.errors import UserError
from amber_jax.finetuning import zero_shot

_NOT_TRANSLATED = "training pairs without translation (NS)"


@dataclasses.dataclass(frozen=True)
class Examples:
    """What a task is trained, chosen and tested on."""

    train: Sequence[Any]
    dev: Sequence[Any]
    tests: Mapping[str, Read]  # by language
    files: Sequence[str]  # of train
    first_only: int  # max_train_examples, if train has more; else 0
    dropped: Mapping[str, int]  # reason -> rows left out, of all files

    @functools.cached_property
    def fingerprint(self) -> str:
        """The sha256 of what training and choosing see."""
        digest = hashlib.sha256()
        for example in (*self.train, None, *self.dev):
            digest.update(json.dumps(example).encode() + b"\n")
        return digest.hexdigest()


def read_examples(config: ConfigDict) -> Examples:
    """Returns the task's examples of all languages.

    Raises:
        UserError: a file is missing or wrong.
    """
    tests = zero_shot.read_tests(config)
    reads = list(tests.values())

    def read(pattern: str) -> Read:
        reads.append(zero_shot.read_language(config, pattern, config.train_language))
        return reads[-1]

    training = read(config.train)
    is_translated = READERS[config.task].is_translated
    usable = [example for example in training.examples if is_translated(example)]
    train = usable[: config.max_train_examples or None]
    first_only = len(train) if len(train) < len(usable) else 0
    if config.dev:
        dev = read(config.dev).examples
    else:
        kept = len(train) - max(1, round(config.dev_share * len(train)))
        train, dev = train[:kept], train[kept:]
    if not train or not dev:
        raise UserError(
            f"{', '.join(training.files)}: {len(train)} examples to train on and "
            f"{len(dev)} to choose by; wanted at least one of each"
        )
    dropped: dict[str, int] = {}
    for split in reads:
        for reason, count in split.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    untranslated = len(training.examples) - len(usable)
    if untranslated:
        dropped[_NOT_TRANSLATED] = untranslated
    return Examples(train, dev, tests, training.files, first_only, dropped)
