"""Traces of a few steps, as TensorBoard's profiler and Perfetto show them."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax

from amber_jax.errors import UserError
from amber_jax.files import filling, writing

PROFILE_FOLDER = "profile"
_STEP = "train"  # the name under which profilers look for steps


class Window(NamedTuple):
    """The steps to trace, counted from the first one that this start executes."""

    first: int  # from 1
    last: int


def parse_window(text: str) -> Window:
    """Returns the window that `10:15` names.

    Raises:
        UserError: it names none.
    """
    numbers = re.fullmatch(r"(\d+):(\d+)", text)
    window = Window(*map(int, numbers.groups())) if numbers else None
    if window is None or not 1 <= window.first <= window.last:
        raise UserError(
            f"--profile is {text!r}; wanted FIRST:LAST, steps counted from 1 at the "
            "start of this command, as in --profile=10:15"
        )
    return window


class Profiler:
    """Traces the steps of a window; its parts of a step are named in any trace.

    Use as a context manager: a trace under way at its end is completed, whatever the
    reason.

    Args:
        window: which steps; None: no trace.
        directory: where the trace goes.
    """

    def __init__(self, window: Window | None, directory: Path) -> None:
        self._window = window
        self._directory = directory
        self._executed = 0
        self._tracing = False
        self._traced = 0  # steps
        self._failure: str | None = None
        self._written = contextlib.ExitStack()

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, *exception: object) -> None:
        self._finish()

    @contextlib.contextmanager
    def step(self, number: int, *, drain: Callable[[], None]) -> Iterator[None]:
        """Marks what is inside as step `number` of the run.

        Args:
            number: as the log counts.
            drain: returns when the device has finished what was dispatched. Called
                where a trace begins and ends, or it would hold a part of another step
                and lack a part of its last.
        """
        self._executed += 1
        if self._window is not None and self._executed == self._window.first:
            drain()
            self._start()
        self._traced += self._tracing
        with jax.profiler.StepTraceAnnotation(_STEP, step_num=number):
            yield
        if self._window is not None and self._executed == self._window.last:
            drain()
            self._finish()

    def outcome(self) -> str | None:
        """Returns a sentence on what was traced; None if nothing was to be."""
        if self._window is None:
            return None
        if self._failure:
            return (
                f"the trace could not be written to {self._directory}: {self._failure}"
            )
        if not self._traced:
            return (
                f"nothing was traced: this start ended after {self._executed} steps, "
                f"before step {self._window.first} of its own"
            )
        return f"the trace of {self._traced} steps is in {self._directory}"

    def _start(self) -> None:
        options = jax.profiler.ProfileOptions()
        # Python's own calls would fill the trace and slow what it measures.
        options.python_tracer_level = 0
        with writing(self._directory, "make room there, or leave --profile out"):
            self._directory.mkdir(parents=True, exist_ok=True)
            folder = self._written.enter_context(filling(self._directory))
            jax.profiler.start_trace(folder, profiler_options=options)
        self._tracing = True

    def _finish(self) -> None:
        if self._tracing:
            self._tracing = False
            try:
                with self._written:
                    jax.profiler.stop_trace()
            except (OSError, RuntimeError) as error:  # the run is worth more
                self._failure = str(error).partition("\n")[0]


def part(name: str) -> contextlib.AbstractContextManager[None]:
    """Returns a block whose time a trace shows on the host as `name`."""
    return jax.profiler.TraceAnnotation(name)
