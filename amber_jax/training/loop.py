"""The only training loop: steps, logging, evaluation, saving, and stopping well."""

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from amber_jax.errors import UserError
from amber_jax.training.state import TrainState
from amber_jax.training.step import TrainStep

_QUIET_BEAT = 100  # steps


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When things happen, in steps of the whole run; 0 means never."""

    log_every: int
    save_every: int
    evaluate_every: int
    max_skipped_in_a_row: int  # non-finite updates before the run gives up


@dataclasses.dataclass(frozen=True)
class Callbacks:
    """What the loop tells the outside world."""

    on_train: Callable[[Mapping[str, Any]], None]  # one record
    evaluate: Callable[[TrainState, int], None]  # state, step
    save: Callable[[TrainState], None]
    count_tokens: Callable[[Any], int]  # host batch -> real tokens, all processes


class StopRequest:
    """Whether SIGTERM or SIGINT asked the run to save and end."""

    def __init__(self) -> None:
        self.requested = False

    def agreed(self, *, ask_others: bool) -> bool:
        """Returns whether to stop now, the same answer in every process.

        Args:
            ask_others: with several processes, a round of communication; they all
                ask at the same steps.
        """
        if jax.process_count() == 1:
            return self.requested
        if not ask_others:
            return False
        return bool(multihost_utils.process_allgather(np.array(self.requested)).any())

    def _request(self, number: int, _: Any) -> None:
        if self.requested:
            raise SystemExit(128 + number)  # asked twice: leave at once
        self.requested = True

    @contextlib.contextmanager
    def installed(self) -> Iterator["StopRequest"]:
        """Listens while inside the block."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, self._request) for number in numbers]
        try:
            yield self
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def is_due(step: int, every: int) -> bool:
    """Returns whether something that happens `every` steps happens after `step`."""
    return every > 0 and step % every == 0


def run(
    state: TrainState,
    *,
    train_step: TrainStep,
    batches: Iterator[Any],
    put_batch: Callable[[Any], Any],
    key: jax.Array,
    start: int,
    end: int,
    schedule: Schedule,
    callbacks: Callbacks,
    stop: StopRequest,
) -> TrainState:
    """Returns the state after steps start..end-1, or earlier if asked to stop.

    The metrics of a step are read after the next step was dispatched: the device
    never waits for the log, and the host never runs more than one step ahead.

    Raises:
        UserError: too many updates in a row were not finite.
    """
    clock = _Clock()
    # Non-finite updates and requests to stop are looked for even without a log.
    beat = schedule.log_every or _QUIET_BEAT
    pending: tuple[int, Any, int] | None = None

    def report() -> None:
        if pending is None:
            return
        step, metrics, tokens = pending
        jax.block_until_ready(metrics)
        clock.finish_step(tokens)
        if step == start + 1:
            clock.reset()  # the first step waits for the compiler
        if is_due(step, beat) or step == end:
            record = {name: float(value) for name, value in metrics.items()}
            _check_finite(step, record, schedule.max_skipped_in_a_row)
            if is_due(step, schedule.log_every) or step == end:
                callbacks.on_train(_record(step, record, tokens, clock.reset()))

    for finished in range(start + 1, end + 1):
        with clock.waiting_for_data():
            host_batch = next(batches)
        batch = put_batch(host_batch)
        state, metrics = train_step(state, batch, key)
        report()
        pending = (finished, metrics, callbacks.count_tokens(host_batch))
        asked = stop.agreed(ask_others=is_due(finished, beat))
        evaluate = is_due(finished, schedule.evaluate_every) or finished == end
        if evaluate and not asked:
            report()
            pending = None
            callbacks.evaluate(state, finished)
            clock.reset()
        if asked or is_due(finished, schedule.save_every) or finished == end:
            report()
            pending = None
            callbacks.save(state)
            clock.reset()
        if asked:
            break
    return state


def _record(
    step: int, metrics: Mapping[str, float], tokens: int, timing: Mapping[str, float]
) -> dict[str, Any]:
    counters = {"skipped_steps": int(metrics["skipped_steps"])}
    hidden = {"skipped_in_a_row", "skipped_steps"}
    means = {name: value for name, value in metrics.items() if name not in hidden}
    return {"step": step, **means, **counters, "tokens": tokens, **timing}


def _check_finite(step: int, metrics: Mapping[str, float], limit: int) -> None:
    in_a_row = int(metrics["skipped_in_a_row"])
    if in_a_row >= limit:
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
        raise UserError(
            f"step {step}: {in_a_row} updates in a row were not finite "
            f"({', '.join(sorted(bad)) or 'gradients'}); begin another run with a "
            "lower learning rate, from the last checkpoint or anew"
        )


class _Clock:
    """Time and tokens since the last record."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> dict[str, float]:
        """Returns tokens_per_second and data_wait_share, and starts anew."""
        now = time.perf_counter()
        timing = {}
        if getattr(self, "_tokens", 0):
            elapsed = now - self._since
            timing = {
                "tokens_per_second": self._tokens / elapsed,
                "data_wait_share": self._waited / elapsed,
            }
        self._since, self._tokens, self._waited = now, 0, 0.0
        return timing

    def finish_step(self, tokens: int) -> None:
        """Counts a step that the device has finished."""
        self._tokens += tokens

    @contextlib.contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Counts the time inside as waiting for the input pipeline."""
        begin = time.perf_counter()
        yield
        self._waited += time.perf_counter() - begin
