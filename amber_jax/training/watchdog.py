"""What ends a run whose step hangs: alive, but waiting for what never comes."""

import contextlib
import faulthandler
import sys
import threading
import time
from collections.abc import Iterator

from amber_jax.stopping import leave_to_start_again

_LONGEST = (
    10  # steps as long as the longest so far: more is no step that takes its time
)
_LOOKS = 20  # before the time is over
_LEAST_LOOK_SECONDS = 0.05


class Watchdog:
    """Ends the process, with the stacks of all threads, when a step hangs.

    Its status is `START_AGAIN`, as of a run that is to be started again.

    Args:
        seconds: how long a step may take, or ten times as long as the longest before
            it, if that is more; 0: there is no limit.
        step: that was finished before.
    """

    def __init__(self, seconds: float, step: int) -> None:
        self._seconds, self._step = seconds, step
        self._longest = 0.0
        self._apart = False
        self._ended = threading.Event()
        self._since = time.monotonic()

    def finish_step(self, step: int) -> None:
        """Takes note that a step is finished."""
        now = time.monotonic()
        self._longest = max(self._longest, now - self._since)
        self._step, self._since = step, now

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """Does not count the time inside the block, which may take as long as it does.

        So do evaluations, and the writing of a checkpoint to slow storage.
        """
        begin, self._apart = time.monotonic(), True
        yield
        self._since += time.monotonic() - begin
        self._apart = False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watches while inside the block."""
        self._since = time.monotonic()
        if not self._seconds:
            yield
            return
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        look = max(min(1.0, self._seconds / _LOOKS), _LEAST_LOOK_SECONDS)
        while not self._ended.wait(look):
            apart, waited = self._apart, time.monotonic() - self._since
            if not apart and waited > max(self._seconds, _LONGEST * self._longest):
                self._end(waited)

    def _end(self, waited: float) -> None:
        if sys.__stderr__ is not None:
            faulthandler.dump_traceback(sys.__stderr__, all_threads=True)
        leave_to_start_again(
            f"error: step {self._step + 1} hangs, after {waited:.0f} seconds its end "
            "has not come (stuck_after), and above is where every thread stands; start "
            "the run again, and it goes on from the last checkpoint"
        )
