"""Where the time of a run goes, and how much work was done in it."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils


class Work(NamedTuple):
    """What one step does, over all processes."""

    tokens: int  # real ones
    flops: int  # that the losses need, forward and backward


class Clock:
    """Time and work since the last record.

    All time is one of three: waiting for the input pipeline, waiting for the device,
    and the host's own, which puts batches on devices and dispatches steps.

    Args:
        peak_flops: what the run's devices can do in a second; 0: not known.
    """

    def __init__(self, peak_flops: float) -> None:
        self._peak_flops = peak_flops
        self._start()

    def _start(self) -> None:
        self._since = time.perf_counter()
        self._done = Work(0, 0)
        self._waited = {"data": 0.0, "device": 0.0}

    def reset(self) -> dict[str, float]:
        """Returns speed and shares as a record has them, and starts anew.

        {} if no step was finished since; `mfu`, the model's FLOPs as a share of the
        peak, only if that is known.
        """
        elapsed = time.perf_counter() - self._since
        done, waited = self._done, self._waited
        self._start()
        if not done.tokens:
            return {}
        data, device = waited["data"] / elapsed, waited["device"] / elapsed
        timing = {
            "tokens_per_second": done.tokens / elapsed,
            "data_wait_share": data,
            "device_share": device,
            "host_share": max(0.0, 1.0 - data - device),
            "model_flops_per_second": done.flops / elapsed,
        }
        if self._peak_flops:
            timing["mfu"] = timing["model_flops_per_second"] / self._peak_flops
        return timing

    def finish_step(self, work: Work) -> None:
        """Counts a step that the device has finished."""
        self._done = Work(
            self._done.tokens + work.tokens, self._done.flops + work.flops
        )

    @contextlib.contextmanager
    def waiting_for(self, whom: str) -> Iterator[None]:
        """Counts the time inside as waiting for `data` or for the `device`."""
        begin = time.perf_counter()
        yield
        self._waited[whom] += time.perf_counter() - begin


def of_slowest(timing: Mapping[str, float]) -> dict[str, float]:
    """Returns which process keeps the others waiting, for a record; {} for one process.

    A step ends for all of them together: whoever is late for it waits least for the
    devices. All processes call this at the same steps.

    Args:
        timing: this process's, as `Clock.reset` returns it.
    """
    if jax.process_count() == 1 or not timing:
        return {}
    mine = np.array([timing["data_wait_share"], timing["device_share"]], np.float32)
    shares = np.asarray(multihost_utils.process_allgather(mine))  # [processes, 2]
    slowest = int(shares[:, 1].argmin())
    return {
        "slowest_process": slowest,
        "slowest_data_wait_share": float(shares[slowest, 0]),
        "slowest_device_share": float(shares[slowest, 1]),
        "median_device_share": float(np.median(shares[:, 1])),
    }
