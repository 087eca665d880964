"""A thread that says so when a run stands still, and what it waits for."""

import contextlib
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from amber_jax.errors import UserError

HOST = "host"  # nothing else is waited for: batches are put, programs compiled
_BETWEEN_STEPS = ("evaluation", "checkpoint")
_STEPS = 128  # whose seconds count
_MEDIANS = 10  # steps that might have been done meanwhile
_LEAST_SECONDS = 60.0
# Compiling, evaluating and writing a checkpoint may take minutes.
_LEAST_SECONDS_BETWEEN_STEPS = 600.0
_LOOK_SECONDS = 1.0


class Pause(NamedTuple):
    """That no step is finished for long."""

    step: int  # the last one that was
    seconds: float
    median: float | None  # seconds of a step; None before the second one
    waits_for: str  # data, device, host, evaluation or checkpoint

    def __str__(self) -> str:
        usual = "" if self.median is None else f", usual are {self.median:.3g}"
        return (
            f"no step is finished for {self.seconds:.0f} seconds{usual}; it waits for "
            f"the {self.waits_for}"
        )


class Standstill:
    """Calls `tell` when no step is finished for ten times the median step.

    And for a minute at least, or ten where a minute is nothing unusual; once more
    whenever the time has doubled. It ends nothing.

    Args:
        tell: called in another thread.
        step: that was finished before.
    """

    def __init__(self, tell: Callable[[Pause], None], step: int) -> None:
        self._tell, self._step = tell, step
        self._seconds: deque[float] = deque(maxlen=_STEPS)
        self._waits_for = HOST
        self._ended = threading.Event()
        self._begin()

    def _begin(self) -> None:
        self._since, self._said = time.monotonic(), 0.0

    def finish_step(self, step: int) -> None:
        """Takes note that a step is finished."""
        if self._step and step == self._step + 1:
            self._seconds.append(time.monotonic() - self._since)
        self._step = step
        self._begin()

    @contextlib.contextmanager
    def waiting_for(self, what: str) -> Iterator[None]:
        """Says what the block waits for; time between steps is counted by itself."""
        before, self._waits_for = self._waits_for, what
        if what in _BETWEEN_STEPS:
            self._begin()
        yield
        self._waits_for = before
        if what in _BETWEEN_STEPS:
            self._begin()

    @contextlib.contextmanager
    def watched(self) -> Iterator["Standstill"]:
        """Watches while inside the block."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            pause = self._pause()
            if pause.seconds > max(self._limit(pause), 2 * self._said):
                self._said = pause.seconds
                # A full disk is told by the loop, which ends.
                with contextlib.suppress(UserError):
                    self._tell(pause)

    def _pause(self) -> Pause:
        seconds = list(self._seconds)
        return Pause(
            step=self._step,
            seconds=time.monotonic() - self._since,
            median=statistics.median(seconds) if seconds else None,
            waits_for=self._waits_for,
        )

    def _limit(self, pause: Pause) -> float:
        usual = pause.median is not None and pause.waits_for in ("data", "device")
        least = _LEAST_SECONDS if usual else _LEAST_SECONDS_BETWEEN_STEPS
        return max(least, _MEDIANS * (pause.median or 0.0))
