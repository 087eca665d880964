"""A program that ends where its work would begin, with its flags understood."""

import re
import runpy
import shlex
import sys
from collections.abc import Sequence
from typing import NoReturn
from unittest import mock

UNDERSTOOD = 77


def arguments_of(command: str) -> tuple[str, list[str]]:
    """Returns the module of a line `python -m MODULE ...` of a shell, and its flags."""
    line = re.sub(r"\$\([^)]*\)", "PRINTED", command)  # what another command prints
    _, _, module, *arguments = shlex.split(line)
    return module, arguments


def parse(module: str, arguments: Sequence[str]) -> NoReturn:
    """Runs a module until its flags are parsed; exits with UNDERSTOOD if they are."""

    def begin(main, argv, flags_parser):
        flags_parser(argv)
        sys.exit(UNDERSTOOD)

    # No path of a program, which could be started anew to set the allocator.
    sys.argv = [module, *arguments]
    with mock.patch("absl.app.run", begin):
        runpy.run_module(module, run_name="__main__")
    sys.exit()
