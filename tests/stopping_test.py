"""A command that is asked to stop before it has imported what it needs."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ASKED = """
import os, signal, sys
from amber_jax import stopping
stopping.stop_at_once()
roots = {name.partition(".")[0] for name in sys.modules}
print(sorted(roots - sys.stdlib_module_names - {"__main__", "amber_jax"}), flush=True)
os.kill(os.getpid(), int(sys.argv[1]))
import absl
"""


def test_nothing_stands_before_a_command_listens():
    body = ast.parse((ROOT / "amber_jax" / "__main__.py").read_text("utf-8")).body
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    for name in ("main", "run_verb"):
        _, first, *_ = functions[name].body
        assert ast.unparse(first) == "stopping.stop_at_once()"
    imported = [ast.unparse(node) for node in body if hasattr(node, "names")]
    assert imported == [
        "import sys",
        "from typing import NoReturn",
        "from amber_jax import stopping",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_listens_ends_with_one_sentence_and_has_imported_nothing(number):
    done = subprocess.run(
        [sys.executable, "-S", "-c", ASKED, str(int(number))],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == f"stopped by {number.name}\n"
    assert done.returncode == 128 + number
    assert done.stdout == "[]\n"  # -S: what site packages import is not ours


def test_a_command_that_ignores_a_signal_goes_on_ignoring_it():
    ignore = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", ignore + ASKED, str(int(signal.SIGINT))],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "stopped" not in done.stderr
    assert done.returncode == 1  # at the last line: no absl without site packages
