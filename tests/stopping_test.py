"""A command that is asked to stop before it has imported what it needs."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = sorted((ROOT / "launch").glob("*.py"))
ASKED = """
import os, signal, sys
from amber_jax import stopping
stopping.stop_at_once()
roots = {name.partition(".")[0] for name in sys.modules}
print(sorted(roots - sys.stdlib_module_names - {"__main__", "amber_jax"}), flush=True)
os.kill(os.getpid(), int(sys.argv[1]))
import absl
"""


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_nothing_stands_before_a_command_listens(path):
    _, first, second, *_ = ast.parse(path.read_text("utf-8")).body
    assert ast.unparse(first) == "from amber_jax import stopping"
    assert ast.unparse(second) == (
        "if __name__ == '__main__':\n    stopping.stop_at_once()"
    )


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
