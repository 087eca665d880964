"""Several ways to do one thing, timed in turn: other people's load hits all alike."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Seconds(NamedTuple):
    """Medians over the rounds."""

    wall: float
    cpu: float  # of all threads of this process


def interleaved(
    ways: Mapping[str, Callable[[], Any]], *, rounds: int
) -> dict[str, Seconds]:
    """Returns the time of each way; the first round warms up and does not count."""
    timed: dict[str, list[Seconds]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, work in ways.items():
            timed[name].append(once(work))
    return {
        name: Seconds(*map(statistics.median, zip(*times[1:], strict=True)))
        for name, times in timed.items()
    }


def once(work: Callable[[], Any]) -> Seconds:
    """Returns the time of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def stay_on_one_core() -> None:
    """Keeps this process, threads to come included, on one core where that can be."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
