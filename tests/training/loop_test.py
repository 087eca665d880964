"""When the loop logs, saves, evaluates and stops, and that it never runs ahead."""

import dataclasses
import functools
import itertools
import os
import signal
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_objective

from amber_jax.errors import UserError
from amber_jax.training.clock import Work
from amber_jax.training.loop import Callbacks, Schedule, StopRequest, is_due, run
from amber_jax.training.optimizer import build_optimizer
from amber_jax.training.parallel import build_backend
from amber_jax.training.profile import Profiler, Window
from amber_jax.training.state import new_state
from amber_jax.training.step import train_step


@dataclasses.dataclass
class Number:
    """A metric of one step that tells when it is waited for."""

    value: float
    step: int
    events: list

    def block_until_ready(self):
        self.events.append(("ready", self.step))
        return self

    def __float__(self):
        return self.value


def run_loop(
    start=0,
    end=6,
    *,
    log_every=2,
    save_every=0,
    evaluate_every=0,
    limit=3,
    in_a_row=lambda step: 0,
    stop=None,
    during=lambda step: None,
    metric=Number,
    profiler=None,
    peak_flops=0.0,
):
    """Runs the loop over a step that only counts; returns what happened, in order."""
    events, records = [], []

    def step(state, batch, key):
        number = state + 1
        assert batch == ("put", state), "batches come in the order of steps"
        during(number)
        events.append(("dispatch", number))
        skips = in_a_row(number)
        values = {"loss": float("nan") if skips else 1.0 / number}
        values |= {"skipped_steps": skips, "skipped_in_a_row": skips}
        loss = metric(values.pop("loss"), number, events)
        return number, {"loss": loss, **values}

    final = run(
        start,
        train_step=step,
        batches=iter(range(start, end)),
        put_batch=lambda batch: ("put", batch),
        key=jax.random.key(0),
        start=start,
        end=end,
        schedule=Schedule(log_every, save_every, evaluate_every, limit),
        callbacks=Callbacks(
            on_train=records.append,
            evaluate=lambda state, step: events.append(("evaluate", step, state)),
            save=lambda state: events.append(("save", state)),
            count_work=lambda batch: Work(tokens=100 + batch, flops=5000 + batch),
            on_pause=lambda pause: events.append(("pause", pause.step, pause)),
            go_on_from=lambda: "the last good checkpoint is runs/checkpoints/0",
        ),
        stop=stop or StopRequest(),
        profiler=profiler or Profiler(None, Path("unwritten")),
        peak_flops=peak_flops,
    )
    return final, events, records


def of(kind, events):
    return [event[1] for event in events if event[0] == kind]


@pytest.mark.parametrize(
    ("step", "every", "due"),
    [(1, 1, True), (3, 2, False), (4, 2, True), (4, 0, False), (5, 10, False)],
)
def test_things_are_due_at_multiples(step, every, due):
    assert is_due(step, every) is due


def test_things_happen_when_the_schedule_says_and_at_the_end():
    final, events, records = run_loop(end=7, save_every=3, evaluate_every=4)
    assert final == 7
    assert of("dispatch", events) == [1, 2, 3, 4, 5, 6, 7]
    assert [record["step"] for record in records] == [2, 4, 6, 7]
    assert of("save", events) == [3, 6, 7]
    assert of("evaluate", events) == [4, 7]


def test_zero_means_only_at_the_end_and_no_evaluation():
    _, events, records = run_loop(log_every=0)
    assert [record["step"] for record in records] == [6]
    assert (of("save", events), of("evaluate", events)) == ([6], [])


def test_a_resumed_run_happens_as_if_it_had_never_stopped():
    _, events, records = run_loop(log_every=2, save_every=3, evaluate_every=2)
    _, late_events, late = run_loop(4, log_every=2, save_every=3, evaluate_every=2)
    assert late_events == [event for event in events if event[1] > 4]
    assert [record["loss"] for record in late] == [
        record["loss"] for record in records if record["step"] > 4
    ]


def test_an_evaluation_comes_before_the_save_of_its_step():
    _, events, _ = run_loop(end=2, save_every=1, evaluate_every=1)
    kinds = [event[0] for event in events if event[0] in ("evaluate", "save")]
    assert kinds == ["evaluate", "save"] * 2


def test_records_hold_the_metrics_the_tokens_the_speed_and_the_memory():
    _, _, records = run_loop(end=4)
    first, second = records
    assert (first["step"], first["loss"], first["tokens"]) == (2, 0.5, 101)
    assert (second["step"], second["loss"], second["tokens"]) == (4, 0.25, 103)
    assert first["skipped_steps"] == 0
    assert "skipped_in_a_row" not in first
    for record in records:
        assert record["tokens_per_second"] > 0
        assert record["peak_resident_bytes"] > 2**20
        assert record["open_descriptors"] >= 3
        shares = [record[f"{who}_share"] for who in ("data_wait", "host", "device")]
        assert min(shares) >= 0
        assert sum(shares) == pytest.approx(1.0)


def test_the_arithmetic_is_told_and_its_share_of_the_peak_where_that_is_known():
    for peak in (0.0, 2e9):
        _, _, records = run_loop(end=4, peak_flops=peak)
        # The first step does not count: it waits for the compiler.
        speeds = [record["model_flops_per_second"] for record in records]
        per_token = [
            speed / record["tokens_per_second"]
            for speed, record in zip(speeds, records, strict=True)
        ]
        assert per_token == pytest.approx([5001 / 101, (5002 + 5003) / (102 + 103)])
        shares = [record["mfu"] for record in records if "mfu" in record]
        assert shares == pytest.approx(
            [speed / peak for speed in speeds] if peak else []
        )


def test_waiting_goes_to_the_one_who_is_waited_for(monkeypatch):
    now = [0.0]  # a clock that only waiting moves

    def wait():
        now[0] += 1.0

    class Slow(Number):
        def block_until_ready(self):
            wait()
            return super().block_until_ready()

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    _, _, records = run_loop(end=4, metric=Slow)
    assert [record["device_share"] for record in records] == [1.0] * len(records)
    _, _, records = run_loop(end=4, during=lambda step: wait())
    assert [record["host_share"] for record in records] == [1.0] * len(records)


def test_the_device_is_drained_where_a_trace_begins_and_ends(tmp_path):
    with Profiler(Window(3, 4), tmp_path) as profiler:
        _, events, records = run_loop(end=6, log_every=100, profiler=profiler)
    order = [event for event in events if event[0] in ("dispatch", "ready")]
    assert order == [
        *[("dispatch", 1), ("dispatch", 2), ("ready", 1), ("ready", 2)],
        *[("dispatch", 3), ("dispatch", 4), ("ready", 3), ("ready", 4)],
        *[("dispatch", 5), ("dispatch", 6), ("ready", 5), ("ready", 6)],
    ]
    assert [record["step"] for record in records] == [6]


def test_a_steps_metrics_are_awaited_after_the_next_dispatch_and_no_later():
    _, events, _ = run_loop(end=6, log_every=100)
    order = [event for event in events if event[0] in ("dispatch", "ready")]
    assert order == [
        ("dispatch", 1),
        *itertools.chain.from_iterable(
            (("dispatch", step + 1), ("ready", step)) for step in range(1, 6)
        ),
        ("ready", 6),
    ]


def test_no_steps_are_no_work():
    final, events, records = run_loop(start=6, end=6)
    assert (final, events, records) == (6, [], [])


def test_a_request_to_stop_saves_the_step_under_way_and_skips_its_evaluation():
    stop = StopRequest()

    def ask(step):
        stop.requested = step == 3 or stop.requested

    final, events, records = run_loop(
        stop=stop, during=ask, save_every=100, evaluate_every=3
    )
    assert final == 3
    assert of("save", events) == [3]
    assert of("evaluate", events) == []
    assert [record["step"] for record in records] == [2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_request_and_a_second_one_ends_at_once(number):
    before = signal.getsignal(number)
    with StopRequest().installed() as stop:
        assert not stop.agreed(ask_others=True)
        os.kill(os.getpid(), number)
        assert stop.agreed(ask_others=True)
        with pytest.raises(SystemExit) as caught:
            os.kill(os.getpid(), number)
        assert caught.value.code == 128 + number
    assert signal.getsignal(number) is before


def test_a_signal_during_the_run_ends_it_well():
    def ask(step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with StopRequest().installed() as stop:
        final, events, _ = run_loop(stop=stop, during=ask)
    assert final == 2
    assert of("save", events) == [2]


def test_a_few_skipped_updates_are_survived():
    _, _, records = run_loop(log_every=1, in_a_row=lambda step: int(step == 3))
    assert [record["skipped_steps"] for record in records] == [0, 0, 1, 0, 0, 0]
    assert np.isnan(records[2]["loss"])


@pytest.mark.parametrize("log_every", [1, 100, 0])
def test_too_many_skipped_updates_in_a_row_end_the_run(log_every):
    happened = []
    with pytest.raises(
        UserError,
        match=r"step 4: 3 updates in a row, from step 2 on, were not finite \(loss\).*"
        "the last good checkpoint is runs/checkpoints/0",
    ):
        run_loop(
            log_every=log_every,
            end=20,
            in_a_row=lambda step: max(0, step - 1),
            during=happened.append,
        )
    assert max(happened) == 5


@pytest.mark.parametrize("backend", ["pmap", "jit"])
def test_two_hundred_quick_steps_on_eight_devices_do_not_hang(backend):
    built = build_backend(backend, fsdp=False, num_devices=8)
    sgd = build_optimizer(
        "sgd", beta1=0.9, beta2=0.9, epsilon=1e-6, weight_decay=0.0, clip_norm=0.0
    )
    make = functools.partial(new_state, toy_objective.params(), sgd)
    shardings = built.place(jax.eval_shape(make))
    step = functools.partial(
        train_step,
        objective=toy_objective.objective,
        loss_weights=lambda step: {"error": jnp.float32(1.0)},
        learning_rate=lambda step: jnp.float32(0.01),
        optimizer=sgd,
    )
    state = jax.jit(make, out_shardings=shardings)()
    records = []
    state = run(
        state,
        train_step=built.compile(step, state),
        batches=itertools.repeat(toy_objective.batch()),
        put_batch=built.put_batch,
        key=jax.random.key(0),
        start=0,
        end=200,
        schedule=Schedule(50, 0, 0, 20),
        callbacks=Callbacks(
            on_train=records.append,
            evaluate=lambda state, step: None,
            save=lambda state: None,
            count_work=lambda batch: Work(tokens=1, flops=1),
            on_pause=lambda pause: None,
            go_on_from=lambda: "",
        ),
        stop=StopRequest(),
        profiler=Profiler(None, Path("unwritten")),
        peak_flops=0.0,
    )
    assert int(state.step) == 200
    assert [record["step"] for record in records] == [50, 100, 150, 200]
    assert records[-1]["loss"] < records[0]["loss"]
