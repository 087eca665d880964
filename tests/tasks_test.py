"""The records of tasks: each whole, and the tables elsewhere with an entry for it."""

import pytest

from amber_jax import config as settings
from amber_jax.datasets.readers import READERS
from amber_jax.errors import UserError
from amber_jax.finetuning.heads import HEADS
from amber_jax.report.published import PUBLISHED
from amber_jax.tasks import FINE_TUNED, TASKS


@pytest.mark.parametrize("name", FINE_TUNED)
def test_a_task_with_labels_can_be_read_trained_and_configured(name):
    task = TASKS[name]
    assert name in READERS
    assert task.kind in HEADS
    config = settings.finetuning(name)
    assert tuple(config.languages) == task.languages
    assert set(task.languages) <= set(task.xtreme_languages)
    assert set(task.languages) <= task.test_sizes.keys() <= set(task.xtreme_languages)
    assert len(set(task.labels)) == len(task.labels) > 1


def test_what_has_labels_is_what_can_be_read():
    assert set(READERS) == set(FINE_TUNED)


@pytest.mark.parametrize("name", TASKS)
def test_a_record_says_which_metric_is_its_headline(name):
    task = TASKS[name]
    assert task.name == name
    assert task.metric == task.metrics[0]
    assert task.meanings.keys() <= set(task.metrics)


@pytest.mark.parametrize("name", FINE_TUNED)
def test_published_numbers_are_of_the_languages_tested_by_default(name):
    if name in PUBLISHED:
        assert PUBLISHED[name].languages == set(TASKS[name].languages)


def test_a_config_of_no_task_is_refused_with_those_there_are():
    with pytest.raises(UserError, match="task is 'ner', not one of udpos, panx"):
        settings.finetuning("ner")
