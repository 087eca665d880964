"""An operating system that refuses what matches, for this process alone."""

import contextlib
import os
import re
import sys

_refused = []  # (regular expression, error number) of blocks that are under way


def _refuse(event, arguments):
    if _refused and event.split(".")[0] in ("open", "os"):
        described = " ".join([event, *map(str, arguments)])
        for pattern, number in _refused:
            if re.search(pattern, described):
                raise OSError(number, os.strerror(number), str(arguments[0]))


sys.addaudithook(_refuse)  # there is no way to take one away


@contextlib.contextmanager
def refusing(pattern, number):
    """Lets calls fail with an error number, as `open RUN/config.json w` or `os.mkdir`.

    Args:
        pattern: a regular expression of Python's audit event and its arguments.
        number: as of `errno`.
    """
    rule = (pattern, number)
    _refused.append(rule)
    try:
        yield
    finally:
        _refused.remove(rule)
