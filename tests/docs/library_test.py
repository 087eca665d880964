"""The page of the library's names is current, and names all that configs import."""

import ast
import importlib
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY = runpy.run_path(str(ROOT / "docs" / "library.py"))


def test_the_page_is_what_its_command_writes():
    written = (ROOT / "docs" / "library.md").read_text("utf-8")
    assert written == LIBRARY["page"](), "run python docs/library.py"


def test_what_configs_call_is_on_the_page():
    called = set()
    for path in (ROOT / "configs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module != "amber_jax":
                called |= {(node.module, alias.name) for alias in node.names}
            elif isinstance(node, ast.Call):
                owner, _, name = ast.unparse(node.func).partition(".")
                if owner == "settings":  # as configs import amber_jax.config
                    called.add(("amber_jax.config", name))
    ours = {
        (module, name)
        for module, name in called
        if module.startswith("amber_jax.")
        and hasattr(getattr(importlib.import_module(module), name), "__name__")
    }
    listed = {(module, name) for module, of in LIBRARY["NAMES"].items() for name in of}
    assert ours and ours <= listed
