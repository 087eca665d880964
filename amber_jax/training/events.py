"""What of a run is worth a line of its own: loss spikes, skipped steps, stragglers.

An event is a record of metrics.jsonl of kind `event`: its name, a sentence, and under
its name a number.
"""

import math
import statistics
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]

LOSS_SPIKE, SKIPPED, STRAGGLER = "loss_spike", "skipped", "straggler"
STANDSTILL = "standstill"
EVENTS = (LOSS_SPIKE, SKIPPED, STRAGGLER, STANDSTILL)

# Source: OLMo-core's SkipStepOptimizer, six deviations over the last 128 values as soon
# as half of them are there; around the mean, which a spike moves, so here the median.
_WINDOW, _DEVIATIONS = 128, 6.0
# Source: Rousseeuw & Croux 1993, "Alternatives to the Median Absolute Deviation": times
# the median absolute deviation, the standard deviation of normal values.
_OF_NORMAL_VALUES = 1.4826
_LEAST_DEVIATION = 0.01  # of the median: a loss that hardly moves has no spikes
_STRAGGLING = 0.1  # share of the time that a process waits less than the median one


def event(name: str, step: int, stage: str, number: float, text: str) -> Record:
    """Returns the record of an event.

    Args:
        name: one of `EVENTS`.
        step: the last one that was finished.
        stage: that it is of.
        number: what is plotted: deviations, steps, a process, seconds.
        text: the sentence about it.
    """
    head = {"kind": "event", "stage": stage, "step": step, "event": name}
    return {**head, "text": text, name: number}


class EventRules:
    """The events of train records, which are given in the order of their steps.

    What they depend on is in the records alone: a run that goes on is given those of
    its log first, and finds what an undisturbed one would.

    Args:
        records: of the log so far, of any kind.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._stage: str | None = None
        self._losses: deque[float] = deque(maxlen=_WINDOW)
        self._spiking = False
        self._skipped = 0
        self._straggler: int | None = None
        for record in records:
            if record.get("kind") == "train":
                self.of(record)

    def of(self, record: Record) -> list[Record]:
        """Returns the events of the next train record."""
        if record.get("stage") != self._stage:  # has losses of its own
            self._stage = record.get("stage")
            self._losses.clear()
            self._spiking = False
        findings = {
            LOSS_SPIKE: self._loss_spike(record.get("loss")),
            SKIPPED: self._skips(record.get("skipped_steps")),
            STRAGGLER: self._straggling(record),
        }
        step, stage = int(record["step"]), str(self._stage)
        return [
            event(name, step, stage, *finding)
            for name, finding in findings.items()
            if finding is not None
        ]

    def _loss_spike(self, loss: float | None) -> tuple[float, str] | None:
        """Returns by how many deviations a spike begins, and its sentence."""
        if loss is None or not math.isfinite(loss):  # was skipped
            return None
        before, was_spiking = list(self._losses), self._spiking
        self._losses.append(loss)
        if len(before) < _WINDOW // 2:
            return None
        median = statistics.median(before)
        deviation = _OF_NORMAL_VALUES * statistics.median(
            abs(value - median) for value in before
        )
        over = (loss - median) / max(deviation, _LEAST_DEVIATION * abs(median), 1e-12)
        self._spiking = over > _DEVIATIONS
        if not self._spiking or was_spiking:
            return None
        return over, (
            f"the loss is {loss:.4g}, {over:.1f} deviations over the median "
            f"{median:.4g} of the last {len(before)} logged"
        )

    def _skips(self, total: float | None) -> tuple[float, str] | None:
        """Returns how many updates were skipped since the last record, and so on."""
        before, self._skipped = self._skipped, int(total or 0)
        new = self._skipped - before
        if new <= 0:
            return None
        updates = "update was" if new == 1 else "updates were"
        return new, (
            f"{new} {updates} not finite and not applied, {self._skipped} in all"
        )

    def _straggling(self, record: Record) -> tuple[float, str] | None:
        """Returns which process begins to keep the others waiting, and so on."""
        before, self._straggler = self._straggler, None
        if "slowest_process" not in record:
            return None
        device, median = (
            record[f"{who}_device_share"] for who in ("slowest", "median")
        )
        if median - device < _STRAGGLING:
            return None
        process = self._straggler = int(record["slowest_process"])
        if process == before:
            return None
        return process, (
            f"process {process} keeps the others waiting: it waits "
            f"{record['slowest_data_wait_share']:.0%} of the time for data and "
            f"{device:.0%} for devices, the median process {median:.0%} for devices"
        )
