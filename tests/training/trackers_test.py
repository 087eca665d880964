"""Records at trackers, which are stand-ins with the libraries' own signatures."""

import sys
import types

import pytest

from amber_jax.config.pretraining import PRETRAINING_RANGES
from amber_jax.errors import UserError
from amber_jax.training.events import event
from amber_jax.training.trackers import TRACKERS, record_writer

TRAIN = {"kind": "train", "stage": "a", "step": 3, "loss": 2.5, "skipped_steps": 0}
EVAL = {"kind": "eval", "stage": "a", "step": 4, "evaluation": "toy", "accuracy": 0.5}
EVENT = event("skipped", 4, "a", 3, "three updates were not finite")
TOLD = [
    ({"train/loss": 2.5, "train/skipped_steps": 0.0}, 3),
    ({"toy/accuracy": 0.5}, 4),
    ({"event/skipped": 3.0}, 4),
]


class Library(types.ModuleType):
    """wandb, mlflow and trackio in one; notes what it is told, by run."""

    def __init__(self, name):
        super().__init__(name)
        self.runs, self.sessions = {}, []

    def _begin(self, run):
        self.sessions.append(run)
        self.current = self.runs.setdefault(run, [])

    def init(self, *, project, name, config, resume, id=None, dir=None):
        assert (project, resume) == ("amber_jax", "allow")
        assert config == {"seed": 1}
        self._begin(id or name)
        return self

    def log(self, metrics, step=None):
        self.current.append((metrics, step))

    def finish(self):
        self.current = None

    def set_experiment(self, experiment_name):
        assert experiment_name == "amber_jax"

    def search_runs(self, *, filter_string, output_format):
        assert output_format == "list"
        run = filter_string.split("'")[1]
        info = types.SimpleNamespace(run_id=run)
        return [types.SimpleNamespace(info=info)] if run in self.runs else []

    def start_run(self, run_id=None, *, run_name=None, tags=None):
        self._begin(run_id or tags["amber_run"])

    def log_dict(self, dictionary, artifact_file):
        assert (dictionary, artifact_file) == ({"seed": 1}, "config.json")

    def log_metrics(self, metrics, step=None):
        self.log(metrics, step)

    def end_run(self):
        self.finish()


@pytest.fixture(params=sorted(TRACKERS))
def library(request, monkeypatch):
    library = Library(request.param)
    monkeypatch.setitem(sys.modules, request.param, library)
    return library


def test_numbers_arrive_by_step_and_a_resumed_run_goes_on_in_its_run(library, tmp_path):
    for record in (TRAIN, EVAL, EVENT):
        writer = record_writer(library.__name__, tmp_path, {"seed": 1}, pytest.fail)
        writer.write(record)
        writer.close()
    assert list(library.runs.values()) == [TOLD]
    assert len(library.sessions) == 3


def test_a_config_may_name_them_all():
    (names,) = PRETRAINING_RANGES["trackers"]
    assert set(names.words) == set(TRACKERS)


def test_another_run_is_another_run(library, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        record_writer(library.__name__, tmp_path / name, {"seed": 1}, pytest.fail)
    assert len(library.runs) == 2


def test_a_tracker_that_fails_is_given_up_and_the_run_goes_on(
    library, tmp_path, monkeypatch
):
    said = []
    writer = record_writer(library.__name__, tmp_path, {"seed": 1}, said.append)

    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(library, "log", fail)
    writer.write(TRAIN)
    writer.write(TRAIN)
    writer.close()
    assert said == [f"{library.__name__} is told no more: no network"]


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_a_library_that_is_not_there_is_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"pip install 'amber_jax\[{name}\]'"):
        record_writer(name, tmp_path, {"seed": 1}, pytest.fail)


def test_a_library_that_refuses_to_begin_is_one_sentence(
    library, tmp_path, monkeypatch
):
    def fail(*_, **__):
        raise RuntimeError("api_key not configured\nsee the manual")

    for name in ("init", "set_experiment"):
        monkeypatch.setattr(library, name, fail)
    with pytest.raises(UserError, match="api_key not configured; log in") as caught:
        record_writer(library.__name__, tmp_path, {"seed": 1}, pytest.fail)
    assert "\n" not in str(caught.value)
