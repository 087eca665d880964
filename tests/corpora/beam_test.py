"""Beam is asked for by name; tests_long/build_corpus_test.py builds a corpus by it."""

import contextlib
import sys
import types

import pytest
from quiet_build import silent

from amber_jax.corpora.beam import beam_mapper
from amber_jax.corpora.build import build_corpus
from amber_jax.errors import UserError, WorkersLost


class Pipeline(contextlib.nullcontext):
    """Refuses a runner as Beam's own does, and fails as it is asked to."""

    failure: Exception | None = None

    def __init__(self, argv):
        super().__init__(self)
        if argv == ["--runner=NoSuchRunner"]:
            raise ValueError("Unexpected pipeline runner: NoSuchRunner.")
        if argv == ["--workers=x"]:
            print("usage: ...\nargument --workers: invalid int", file=sys.stderr)
            raise SystemExit(2)

    def __or__(self, _):
        raise self.failure


@pytest.fixture
def beam(monkeypatch):
    """A stand-in for the library."""
    library = types.ModuleType("apache_beam")
    library.Pipeline, library.Create = Pipeline, lambda work, **_: work
    monkeypatch.setitem(sys.modules, "apache_beam", library)
    return monkeypatch


FAILURES = [
    # what the pipeline raises                         told
    (RuntimeError("worker lost contact"), "of --beam failed .worker lost contact"),
    (RuntimeError("Traceback\namber_jax.errors.UserError: a.gz: is cut [while running "
                  "'Map(_read)']"), "^a.gz: is cut$"),
    (RuntimeError("Traceback\namber_jax.errors.StorageError: gs://b/c cannot be read "
                  "(no answer); wait"), "^gs://b/c cannot be read .no answer.; wait$"),
    (UserError("a.gz: is cut [while running 'Map(_read)']"), "^a.gz: is cut$"),
]  # fmt: skip


@pytest.mark.parametrize(("failure", "message"), FAILURES)
def test_a_pipeline_that_fails_is_one_sentence(beam, failure, message):
    beam.setattr(Pipeline, "failure", failure)
    with pytest.raises(UserError, match=message):
        beam_mapper(["--runner=DirectRunner"])(print, [1])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--runner=NoSuchRunner", "NoSuchRunner: Unexpected pipeline runner"),
        ("--workers=x", "--beam=--workers=x: argument --workers: invalid int"),
    ],
)
def test_options_that_beam_refuses_are_told(beam, option, message):
    with pytest.raises(UserError, match=message):
        beam_mapper([option])


def test_a_fault_of_ours_is_not_blamed_on_the_options(beam):
    beam.setattr(Pipeline, "failure", ValueError("zip() argument 2 is shorter"))
    with pytest.raises(ValueError, match="zip"):
        beam_mapper(["--runner=DirectRunner"])(print, [1])


@pytest.mark.parametrize("name", ["DiskFull", "StorageError"])
def test_a_full_disk_of_a_worker_is_no_fault_of_an_input(beam, name):
    text = f"Traceback\namber_jax.errors.{name}: c cannot be written (no room); wait"
    beam.setattr(Pipeline, "failure", RuntimeError(text))
    with pytest.raises(WorkersLost, match="^c cannot be written .no room.; wait$"):
        beam_mapper(["--runner=DirectRunner"])(print, [1])


@pytest.mark.parametrize("installed", [False, True])
def test_what_was_done_stays_when_beam_fails(recipe, tmp_path, beam, installed):
    def cut(stage, done, _):
        if stage == "tokenize" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_corpus(recipe, tmp_path / "c", processes=1, report=cut)
    records = [*tmp_path.glob("c.partial/*/rows/*.json")]
    assert records
    beam.setattr(Pipeline, "failure", RuntimeError("worker lost contact"))
    if not installed:
        beam.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match="--beam"):
        build_corpus(
            recipe,
            tmp_path / "c",
            processes=1,
            report=silent,
            beam=["--runner=DirectRunner"],
        )
    assert [*tmp_path.glob("c.partial/*/rows/*.json")] == records


def test_without_beam_one_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match=r"--beam needs Apache Beam.*amber_jax\[beam\]"):
        beam_mapper(["--runner=DirectRunner"])


def test_no_work_starts_no_pipeline(beam):
    beam.setattr(Pipeline, "failure", RuntimeError("it was started"))
    assert [*beam_mapper([])(print, [])] == []
