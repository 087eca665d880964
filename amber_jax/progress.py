"""A progress bar on stderr, for whoever watches it."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)


def is_watched() -> bool:
    """Returns whether stderr is a terminal."""
    return sys.stderr.isatty()


@contextlib.contextmanager
def progress_bar(
    title: str, total: int | None, *, shown: bool
) -> Iterator[Callable[[int], None]]:
    """Gives a function that is told how many are done; the bar goes at the end.

    Args:
        title: stands before the bar.
        total: how many there are, or None if nobody knows.
        shown: whether there is a bar at all.
    """
    if not shown:
        yield lambda done: None
        return
    columns = (
        *(TextColumn("{task.description}"), BarColumn()),
        *(MofNCompleteColumn(), TimeRemainingColumn()),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)
