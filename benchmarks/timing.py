"""Timing of training steps, in wall-clock and in CPU time; Linux, no packages.

On a shared machine compare CPU time: other people's load hardly changes it.
"""

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_CORES = os.cpu_count() or 1
_IDLE_SHARE, _WINDOW_S, _PATIENCE_S = 0.1, 0.3, 8.0


def process_age_s() -> float:
    """Returns the seconds since this process started, importing included."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started = int(fields[19]) / _TICKS  # field 22, after boot
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def peak_rss_mb() -> float:
    """Returns the most memory that this process had, MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise OSError("/proc/self/status has no VmHWM")


def forget_peak_memory() -> None:
    """Makes `peak_rss_mb` count from now, where the system can: on Linux."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def wait_idle() -> None:
    """Waits until the machine is nearly idle, for 8 seconds at most."""
    end = time.perf_counter() + _PATIENCE_S
    while time.perf_counter() < end:
        busy, begin = _busy_s(), time.perf_counter()
        time.sleep(_WINDOW_S)
        if _busy_s() - busy < _IDLE_SHARE * _CORES * (time.perf_counter() - begin):
            return


def measure(
    update: Callable[[int], float],
    *,
    warmup: int,
    tokens: Sequence[int],
    flops: Sequence[float],
    idle: bool,
) -> dict[str, Any]:
    """Runs update after update and returns what one JSON line of a program holds.

    Rates are medians over the steps after `warmup`, of each step's own tokens.

    Args:
        update: number of the step -> its loss, when everything is done.
        warmup: steps that are not timed; the first one compiles.
        tokens: real tokens of every step; there are as many steps.
        flops: the arithmetic that every step needs, see `workload.training_flops`.
        idle: whether every timed step waits for an idle machine.
    """
    losses = [update(0)]
    first_step_s = process_age_s()
    losses += [update(step) for step in range(1, warmup)]
    walls, cpus, others = [], [], []
    for step in range(warmup, len(tokens)):
        if idle:
            wait_idle()
        busy, cpu, wall = _busy_s(), time.process_time(), time.perf_counter()
        losses.append(update(step))
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        others.append((_busy_s() - busy - cpus[-1]) / (walls[-1] * _CORES))
    timed = tokens[warmup:]
    return {
        "tokens_per_s": round(_median_rate(timed, walls), 1),
        "tokens_per_cpu_s": round(_median_rate(timed, cpus), 1),
        "step_ms": round(1e3 * statistics.median(walls), 2),
        "cpu_ms": round(1e3 * statistics.median(cpus), 2),
        "tokens_per_step": round(statistics.mean(timed), 1),
        "gflops": round(_median_rate(flops[warmup:], walls) / 1e9, 2),
        "others_share": round(max(0.0, statistics.mean(others)), 3),
        "peak_rss_mb": peak_rss_mb(),
        "first_step_s": round(first_step_s, 2),
        "losses": [round(loss, 4) for loss in losses],
    }


def _median_rate(amounts: Sequence[float], seconds: Sequence[float]) -> float:
    rates = [n / s for n, s in zip(amounts, seconds, strict=True)]
    return statistics.median(rates)


def _busy_s() -> float:
    """Returns the core-seconds that the machine has worked for anyone."""
    with Path("/proc/stat").open() as file:
        user, nice, system, _, _, irq, softirq, steal = map(
            int, file.readline().split()[1:9]
        )
    return (user + nice + system + irq + softirq + steal) / _TICKS
