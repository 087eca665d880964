"""Beam is asked for by name; tests_long/build_corpus_test.py builds a corpus by it."""

import sys
import types

import pytest
from quiet_build import silent

from amber_jax.corpora.beam import beam_mapper
from amber_jax.corpora.build import build_corpus
from amber_jax.errors import UserError


def test_a_build_goes_through_beam(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match="--beam needs Apache Beam"):
        build_corpus(
            recipe,
            tmp_path / "c",
            processes=1,
            report=silent,
            beam=["--runner=DirectRunner"],
        )
    assert not (tmp_path / "c").exists()


def test_without_beam_one_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match=r"--beam needs Apache Beam.*amber_jax\[beam\]"):
        beam_mapper(["--runner=DirectRunner"])


def test_no_work_starts_no_pipeline(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", types.ModuleType("apache_beam"))
    assert [*beam_mapper([])(print, [])] == []
