"""Every test that docs/reliability.md names is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")


def functions_of(path):
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_test_that_is_named_exists():
    named = re.findall(r"`(tests\w*/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 30
    absent = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).is_file() or name not in functions_of(ROOT / path)
    ]
    assert not absent


def test_every_row_of_a_promise_names_its_test():
    tables = re.findall(r"\| promise \|.*\n\| ---.*\n((?:\|.*\n)+)", PAGE)
    rows = "".join(tables).splitlines()
    assert len(rows) > 30
    assert [
        row for row in rows if not re.search(r"\| `tests\w*/\S+::test_\w+` \|", row)
    ] == []
