"""What is said of a disk before a run begins."""

import types

import numpy as np
import pytest

from amber_jax.errors import UserError
from amber_jax.training import disk_space
from amber_jax.training.disk_space import check_space

GB = 10**9
STATE = {"kernel": np.lib.stride_tricks.as_strided(np.float32(0), (GB // 4,), (0,))}


@pytest.fixture
def said(monkeypatch, tmp_path):
    """A function: what is said of a run of one GB, where so many GB are free."""

    def said(free, count=3):
        usage = types.SimpleNamespace(free=free * GB)
        monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: usage)
        notes = []
        check_space(tmp_path, STATE, count=count, note=notes.append)
        return notes

    return said


def test_enough_room_needs_no_words(said):
    assert said(4) == []


def test_room_for_some_is_said_with_numbers(said):
    (sentence,) = said(3.5)
    for words in ("3 checkpoints", "4.00 GB", "3.50 GB"):
        assert words in sentence


def test_no_room_for_one_is_refused(said):
    with pytest.raises(UserError, match="0.50 GB are free"):
        said(0.5)


def test_checkpoints_that_are_there_need_no_more_room(said, tmp_path):
    (tmp_path / "3").mkdir()
    with (tmp_path / "3" / "array").open("wb") as file:
        file.truncate(GB)
    assert said(3.5) == []
