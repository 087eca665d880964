"""Which file --config means."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import amber_jax
from amber_jax.commands.config_flag import locate
from amber_jax.errors import UserError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where relative paths begin: empty, and no checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("variant", ["", ":sa", ":text:en,fr"])
def test_a_name_is_that_of_a_config_of_the_package(variant):
    path, colon, rest = locate(f"amber_tiny.py{variant}").partition(":")
    assert path.endswith("/configs/amber_tiny.py")
    assert colon + rest == variant


def test_a_path_that_exists_goes_before_a_name(folder):
    (folder / "amber_tiny.py").touch()
    assert locate("amber_tiny.py:sa") == "amber_tiny.py:sa"


def test_a_default_is_the_packages_whatever_lies_here(folder):
    (folder / "tokenizer.py").write_text("raise RuntimeError")
    done = subprocess.run(
        [sys.executable, "-m", "amber_jax", "train_tokenizer", "--help"],
        env=os.environ | {"PYTHONPATH": str(Path(amber_jax.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("amber_tine.py:sa", "did you mean amber_tiny.py?"),
        ("amber_tiny:sa", "did you mean amber_tiny.py?"),
        ("configs/udpos.py", "did you mean udpos.py?"),
        ("../configs/__init__.py", "wanted amber_base.py, "),
        ("", "wanted amber_base.py, "),
    ],
)
def test_what_is_neither_is_refused_with_a_suggestion(value, words):
    with pytest.raises(UserError) as caught:
        locate(value)
    assert repr(value.split(":")[0]) in str(caught.value)
    assert words in str(caught.value)
