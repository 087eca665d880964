"""What of a run's config may change when it goes on, and that it then stays true."""

import functools
import json
import shutil

import jax
import numpy as np
import pytest
import tiny_run

from amber_jax import config as settings
from amber_jax.errors import UserError
from amber_jax.pretraining import run as pretrain
from amber_jax.training.metrics import read_metrics
from amber_jax.training.workdir import free_settings, with_defaults

MEASURED = ("step", "stage", "loss", "learning_rate", "grad_norm")


@pytest.fixture(scope="module")
def config_of(corpus):
    """A function: the config of a run, one stage for each dict of settings."""

    def config_of(*stages):
        config = tiny_run.get_config()
        config.corpus = str(corpus)
        config.save_every = 0
        parts = []
        for number, changes in enumerate(stages):
            stage = settings.stage(f"part {number}")
            stage.monolingual_pairs, stage.peak_learning_rate = 16, 1e-2
            stage.warmup_steps = 1
            stage.update(changes)
            parts.append(stage)
        config.stages = tuple(parts)
        return config

    return config_of


CONSTANT = {"num_steps": 3, "schedule": "constant"}
LONGER = {"num_steps": 5, "schedule": "constant"}
COOLED = {"num_steps": 5, "schedule": "wsd", "decay_steps": 2}
LINEAR = {"num_steps": 3}


@pytest.fixture(scope="module")
def begun(config_of, tmp_path_factory):
    """A function: a copy of the workdir of a finished run of one stage."""
    workdirs = {}

    def begun(stage):
        name = json.dumps(stage)
        if name not in workdirs:
            workdirs[name] = tmp_path_factory.mktemp("begun") / "run"
            pretrain.pretrain(config_of(stage), workdirs[name])
        target = tmp_path_factory.mktemp("copy") / "run"
        return shutil.copytree(workdirs[name], target)

    return begun


def measured(workdir):
    lines = read_metrics(workdir / "metrics.jsonl")
    return [[line[name] for name in MEASURED] for line in lines]


def numbers(workdir):
    return [[x for x in line if not isinstance(x, str)] for line in measured(workdir)]


def assert_equal_bits(tree, other):
    pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True)
    for left, right in pairs:
        assert np.asarray(left).tobytes() == np.asarray(right).tobytes()


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (CONSTANT, [LONGER]),
        (CONSTANT, [COOLED]),
        (LINEAR, [LINEAR, {"num_steps": 2, "schedule": "cosine"}]),
    ],
    ids=["longer", "cooled down at last", "a further stage"],
)
def test_a_run_that_goes_on_is_the_one_that_was_meant_to_from_the_beginning(
    first, then, begun, config_of, tmp_path
):
    workdir = begun(first)
    state = pretrain.pretrain(config_of(*then), workdir)
    assert int(state.step) == 5
    whole = pretrain.pretrain(config_of(*then), tmp_path)
    if then == [COOLED]:  # another program than CONSTANT's, which may round otherwise
        close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
        jax.tree.map(close, jax.device_get(state), jax.device_get(whole))
        jax.tree.map(close, numbers(workdir), numbers(tmp_path))
    else:
        assert_equal_bits(state, whole)
        assert measured(workdir) == measured(tmp_path)


def refused(config, workdir):
    with pytest.raises(UserError) as caught:
        pretrain.pretrain(config, workdir)
    return str(caught.value)


@pytest.mark.parametrize(
    ("first", "then", "name"),
    [
        (LINEAR, {"num_steps": 5}, "stages[0].num_steps was 3 and is 5"),
        (CONSTANT, {"num_steps": 2, "schedule": "constant"}, "num_steps was 3 and is"),
        (CONSTANT, {**COOLED, "num_steps": 4, "decay_steps": 3}, "schedule was 'const"),
        (CONSTANT, {**LONGER, "peak_learning_rate": 1e-3}, "peak_learning_rate was"),
    ],
)
def test_what_would_make_steps_untrue_is_refused_and_a_further_stage_is_named(
    first, then, name, begun, config_of
):
    sentence = refused(config_of(then), begun(first))
    assert name in sentence and "add a stage" in sentence


def test_a_run_that_drew_dropout_in_another_way_is_finished_elsewhere(
    config_of, monkeypatch, tmp_path
):
    whole = pretrain._run_json

    def of_before(run, stage):
        run_json = whole(run, stage)
        run_json["config"]["dropout_generator"] = "threefry2x32"
        del run_json["dropout"]
        return run_json

    for rate in (0.0, 0.1):
        config = config_of(LINEAR)
        config.model.hidden_dropout = config.model.attention_dropout = rate
        workdir = tmp_path / str(rate)
        with monkeypatch.context() as patch:
            patch.setattr(pretrain, "_run_json", of_before)
            pretrain.pretrain(config, workdir)
        if rate:
            assert "drew dropout in another way" in refused(config, workdir)
        else:
            assert int(pretrain.pretrain(config, workdir).step) == 3


def test_a_run_from_before_a_setting_was_there_or_renamed_goes_on(
    config_of, monkeypatch, tmp_path
):
    whole = pretrain._run_json

    def without_schedules(run, stage):
        run_json = whole(run, stage)
        for fields in run_json["config"]["stages"]:
            del fields["schedule"], fields["decay_steps"]
        del run_json["config"]["peak_tflops"]
        sentences = run_json["config"]["sentence_alignment"]  # as it was called
        sentences["normalise"] = sentences.pop("normalize")
        return run_json

    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "_run_json", without_schedules)
        pretrain.pretrain(config_of(LINEAR), tmp_path)
    assert int(pretrain.pretrain(config_of(LINEAR), tmp_path).step) == 3
    other = config_of({**LINEAR, "schedule": "cosine"})
    assert "schedule was 'linear' and is 'cosine'" in refused(other, tmp_path)


@pytest.mark.parametrize(
    ("changes", "step", "free"),
    [
        ([{"num_steps": 2_000_000}], 0, True),
        ([{"num_steps": 2_000_000}], 10_001, True),  # the peak is as high in both
        ([{"num_steps": 2_000_000}], 10_002, False),
        ([{"schedule": "constant"}], 10_001, True),
        ([{"schedule": "constant"}], 10_002, False),
    ],
)
def test_length_and_schedule_are_free_until_a_rate_would_differ(changes, step, free):
    before = [settings.as_json(settings.stage("a"))]
    now = [before[0] | change for change in changes]
    names = {f"stages[0].{key}" for key in ("num_steps", "schedule", "decay_steps")}
    assert free_settings(before, now, step) == (names if free else set())


def test_a_stage_that_is_over_stays_and_those_to_come_are_free():
    stages = [settings.as_json(settings.stage(name)) for name in "ab"]
    for stage in stages:
        stage.update(num_steps=4, warmup_steps=0, schedule="constant")
    further = [*stages, settings.as_json(settings.stage("c"))]
    at_border = free_settings(stages, further, 4)
    assert {"stages[0].num_steps", "stages[1].num_steps", "stages[2]"} < at_border
    after = free_settings(stages, further, 5)
    assert "stages[0].num_steps" not in after and "stages[1].num_steps" in after


def test_defaults_fill_groups_and_lists_of_groups():
    defaults = {"a": 1, "group": {"b": 2}, "list": [{"c": 3}], "names": []}
    config = {"group": {}, "list": [{"c": 0}, {}], "names": ["x", "y"], "old": 5}
    assert with_defaults(config, defaults) == {
        "a": 1,
        "group": {"b": 2},
        "list": [{"c": 0}, {"c": 3}],
        "names": ["x", "y"],
        "old": 5,
    }
