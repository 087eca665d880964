"""An installation, examined."""

import re
from pathlib import Path

import jax
import pytest

from amber_jax.commands import doctor
from amber_jax.errors import UserError

SETUP = Path(__file__).parents[2] / "setup.py"


@pytest.fixture(autouse=True)
def _small_products(monkeypatch):
    monkeypatch.setattr(doctor, "_PRODUCTS", {"cpu": ("float32", 64)})


def examined(folder):
    said = []
    doctor.examine(folder, said.append)
    return said


def test_a_whole_installation_is_told_part_by_part(tmp_path):
    said = examined(tmp_path / "runs")
    text = "\n".join(said)
    for name in ("Python ", "jax ", "orbax-checkpoint "):
        assert re.search(rf"{name}\d", text)
    assert f"{jax.local_device_count()} devices" in text
    rate = re.search(r"(\S+) TFLOP/s in float32 products of 64", text).group(1)
    assert float(rate) > 0
    assert "can be written" in text
    assert said[-1] == "nothing is amiss"
    assert list((tmp_path / "runs").iterdir()) == []


def test_an_extra_that_is_not_there_says_how_it_comes(monkeypatch, tmp_path):
    monkeypatch.setitem(doctor.EXTRAS, "report", ("there_is_no_such_module",))
    (line,) = [line for line in examined(tmp_path) if "extra report" in line]
    assert "no there_is_no_such_module" in line
    assert "pip install 'amber_jax[report]'" in line


def test_the_extras_are_those_of_the_package():
    text = SETUP.read_text("utf-8")
    for extra in doctor.EXTRAS:
        assert re.search(rf'^        "{extra}": ', text, re.MULTILINE)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(UserError, match="--workdir"):
        examined(tmp_path / "file" / "runs")
