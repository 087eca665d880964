"""The only training loop: steps, logging, evaluation, saving, and stopping well."""

import contextlib
import dataclasses
import math
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from amber_jax import stopping
from amber_jax.errors import UserError
from amber_jax.training.allocator import give_back_unused, peak_resident_bytes
from amber_jax.training.clock import Clock, Work, of_slowest
from amber_jax.training.profile import Profiler, part
from amber_jax.training.standstill import Pause, Standstill
from amber_jax.training.state import TrainState
from amber_jax.training.step import TrainStep
from amber_jax.training.watchdog import Watchdog

_QUIET_BEAT = 100  # steps
_DESCRIPTORS = Path("/dev/fd")


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When things happen, in steps of the whole run, and after the last one.

    0 means only then, and never for evaluations.
    """

    log_every: int
    save_every: int
    evaluate_every: int
    max_skipped_in_a_row: int  # non-finite updates before the run gives up
    stuck_after: float = 0.0  # seconds, see `Watchdog`


@dataclasses.dataclass(frozen=True)
class Callbacks:
    """What the loop tells the outside world."""

    on_train: Callable[[Mapping[str, Any]], None]  # one record
    evaluate: Callable[[TrainState, int], None]  # state, step
    save: Callable[[TrainState], None]
    count_work: Callable[[Any], Work]  # host batch -> of all processes
    on_pause: Callable[[Pause], None]  # in another thread
    go_on_from: Callable[[], str]  # the last good checkpoint, in words


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
        before = {
            number: signal.signal(number, self._request) for number in stopping.heeded()
        }
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def is_due(step: int, every: int) -> bool:
    """Returns whether something that happens `every` steps happens after `step`."""
    return every > 0 and step % every == 0


def evaluation_is_due(step: int, every: int, end: int) -> bool:
    """Returns whether there is an evaluation after `step` of a loop until `end`."""
    return every > 0 and (step == end or is_due(step, every))


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
    profiler: Profiler,
    peak_flops: float,
) -> TrainState:
    """Returns the state after steps start..end-1, or earlier if asked to stop.

    The metrics of a step are read after the next step was dispatched: the device
    never waits for the log, and the host never runs more than one step ahead.

    Args:
        state: the state before step `start`.
        train_step: compiled.
        batches: host batches of the steps, in order.
        put_batch: host batch -> device arrays.
        key: what is random in a step is derived from it.
        start: steps done before.
        end: steps done after.
        schedule: when what happens.
        callbacks: what happens.
        stop: whether to end early.
        profiler: traces the steps that its window holds.
        peak_flops: what the devices can do in a second, together; 0: not known.

    Raises:
        UserError: too many updates in a row were not finite.
    """
    clock = Clock(peak_flops)
    standstill = Standstill(callbacks.on_pause, start)
    watchdog = Watchdog(schedule.stuck_after, start)
    under_way = _StepUnderWay(start, end, schedule, callbacks, clock, standstill)
    with standstill.watched(), watchdog.watched():
        for finished in range(start + 1, end + 1):
            with profiler.step(finished, drain=under_way.report):
                with _waiting("data", clock, standstill):
                    host_batch = next(batches)
                with part("put"):
                    batch = put_batch(host_batch)
                with part("dispatch"):
                    state, metrics = train_step(state, batch, key)
                under_way.report()  # of the step before
                under_way.now(finished, metrics, callbacks.count_work(host_batch))
            watchdog.finish_step(finished)
            asked = stop.agreed(ask_others=is_due(finished, under_way.beat))
            if evaluation_is_due(finished, schedule.evaluate_every, end) and not asked:
                under_way.report()
                with (
                    standstill.waiting_for("evaluation"),
                    watchdog.apart(),
                    part("evaluate"),
                ):
                    callbacks.evaluate(state, finished)
                clock.reset()
            if asked or is_due(finished, schedule.save_every) or finished == end:
                under_way.report()
                with (
                    standstill.waiting_for("checkpoint"),
                    watchdog.apart(),
                    part("save"),
                ):
                    callbacks.save(state)
                clock.reset()
            if asked:
                break
    return state


@contextlib.contextmanager
def _waiting(whom: str, clock: Clock, standstill: Standstill) -> Iterator[None]:
    """Counts, shows and names the time inside as waiting for `data` or `device`."""
    name = f"wait for {'the ' if whom == 'device' else ''}{whom}"
    with clock.waiting_for(whom), standstill.waiting_for(whom), part(name):
        yield


class _StepUnderWay:
    """The step that the device works on, and the record of it."""

    def __init__(
        self,
        start: int,
        end: int,
        schedule: Schedule,
        callbacks: Callbacks,
        clock: Clock,
        standstill: Standstill,
    ) -> None:
        self._first, self._last = start + 1, end
        self._schedule = schedule
        self._callbacks = callbacks
        self._clock = clock
        self._standstill = standstill
        self._pending: tuple[int, Any, Work] | None = None
        # Requests to stop are looked for even without a log.
        self.beat = schedule.log_every or _QUIET_BEAT

    def now(self, step: int, metrics: Any, work: Work) -> None:
        """Takes the step that was dispatched last."""
        self._pending = (step, metrics, work)

    def report(self) -> None:
        """Returns when the step, if any, is finished and its record is written."""
        if self._pending is None:
            return
        (step, metrics, work), self._pending = self._pending, None
        with _waiting("device", self._clock, self._standstill):
            jax.block_until_ready(metrics)
        self._clock.finish_step(work)
        self._standstill.finish_step(step)
        if step == self._first:
            self._clock.reset()  # the first step may wait for the compiler,
            give_back_unused()  # which leaves memory behind
        limit = self._schedule.max_skipped_in_a_row
        lost = int(metrics["skipped_in_a_row"]) >= limit
        due = is_due(step, self._schedule.log_every) or step == self._last
        if due or lost:
            with part("report"):
                self._write(step, metrics, work.tokens)
        if lost:
            raise UserError(_given_up(step, metrics, self._callbacks.go_on_from()))

    def _write(self, step: int, metrics: Any, tokens: int) -> None:
        values = {name: float(value) for name, value in metrics.items()}
        timing = self._clock.reset()
        timing |= of_slowest(timing)
        self._callbacks.on_train(_record(step, values, tokens, timing))


def _record(
    step: int, metrics: Mapping[str, float], tokens: int, timing: Mapping[str, float]
) -> dict[str, Any]:
    counters = {"skipped_steps": int(metrics["skipped_steps"])}
    hidden = {"skipped_in_a_row", "skipped_steps"}
    means = {name: value for name, value in metrics.items() if name not in hidden}
    return {
        "step": step,
        **means,
        **counters,
        "tokens": tokens,
        **timing,
        "peak_resident_bytes": peak_resident_bytes(),
        **_open_descriptors(),
    }


def _open_descriptors() -> dict[str, int]:
    """Returns how many files and sockets this process has open, where that is known."""
    try:
        count = sum(1 for _ in _DESCRIPTORS.iterdir())
        return {"open_descriptors": count - 1}  # that of looking
    except OSError:
        return {}


def _given_up(step: int, metrics: Mapping[str, Any], go_on_from: str) -> str:
    """Returns what is said of a run that ends for updates that are not finite."""
    in_a_row = int(metrics["skipped_in_a_row"])
    bad = [n for n, value in metrics.items() if not math.isfinite(float(value))]
    return (
        f"step {step}: {in_a_row} updates in a row, from step {step - in_a_row + 1} "
        f"on, were not finite ({', '.join(sorted(bad)) or 'gradients'}) and none was "
        f"applied; {go_on_from}; begin another run from it with a lower learning rate, "
        "or look at the rows of these steps if they are the first of their kind"
    )
