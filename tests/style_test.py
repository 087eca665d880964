"""The whole repository is formatted and linted, and the core's types are checked."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("amber_jax", "benchmarks", "configs", "launch")
EMPTY_NAMES = {"one", "found", "told"}  # they say nothing of what is in them


@pytest.mark.parametrize("arguments", [["format", "--check"], ["check"]])
def test_ruff_has_nothing_to_say(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_types_of_the_core_agree():
    done = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", CODE)
def test_names_say_what_they_hold(folder):
    empty = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name, line in _given_names(ast.parse(path.read_text("utf-8")))
        if name.strip("_").lower() in EMPTY_NAMES
    ]
    assert not empty, "\n".join(empty)


def _given_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yields each name that a program assigns or defines, and its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name, node.lineno
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
                | ast.ExceptHandler(name=str(name))
                | ast.alias(asname=str(name))
            ):
                yield name, node.lineno
