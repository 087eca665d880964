"""A program of launch/ that kills itself with SIGKILL at a point of its own.

python -m benchmarks.killed PATTERN launch/VERB.py FLAG...

Before Python asks the system for something whose description matches the regular
expression, such as `open RUN/metrics.jsonl ab` or `os.rename OLD NEW`, the process is
killed. The program knows nothing of it.
"""

import os
import re
import runpy
import signal
import sys
from typing import Any


def main(pattern: str, program: str, *flags: str) -> None:
    """Runs `program` with its flags until `pattern` matches."""
    wanted = re.compile(pattern)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.split(".")[0] in ("open", "os", "shutil"):
            described = " ".join(map(os.fsdecode, map(_text, arguments)))
            if wanted.search(f"{event} {described}"):
                os.kill(os.getpid(), signal.SIGKILL)

    sys.argv = [program, *flags]
    sys.addaudithook(hook)
    runpy.run_path(program, run_name="__main__")


def _text(argument: Any) -> str | bytes | os.PathLike:
    path = isinstance(argument, str | bytes | os.PathLike)
    return argument if path else str(argument)


if __name__ == "__main__":
    main(*sys.argv[1:])
