"""The table of what shipped configs take is current, as far as it is quick to tell."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PODS = runpy.run_path(str(ROOT / "docs" / "pods.py"))


@pytest.mark.parametrize("name", ["amber_tiny.py:sa", "amber_fifteen.py:sa"])
def test_rows_are_what_the_command_writes(name):
    (slices,) = (slices for config, *slices in PODS["CONFIGS"] if config == name)
    page = (ROOT / "docs" / "pods.md").read_text("utf-8")
    for chip, count in slices:
        for row in PODS["lines"](name, chip, count):
            assert PODS["_row"](row) in page, "run python docs/pods.py"


def test_every_pretraining_config_has_a_row():
    page = (ROOT / "docs" / "pods.md").read_text("utf-8")
    for path in (ROOT / "configs").glob("*.py"):
        if "settings.pretraining()" in path.read_text("utf-8"):
            assert f"| `{path.name}:" in page
