"""When a run is said to stand still, and what it is said to wait for."""

import queue

import pytest

from amber_jax.training import standstill
from amber_jax.training.standstill import Standstill


@pytest.fixture
def said(monkeypatch):
    """A queue of what is said, after hundredths of a second."""
    monkeypatch.setattr(standstill, "_LOOK_SECONDS", 0.005)
    monkeypatch.setattr(standstill, "_LEAST_SECONDS", 0.05)
    monkeypatch.setattr(standstill, "_LEAST_SECONDS_BETWEEN_STEPS", 0.1)
    return queue.Queue()


@pytest.mark.parametrize("what", ["data", "device", "evaluation", "checkpoint"])
def test_a_run_that_stands_still_says_what_it_waits_for(said, what):
    watch = Standstill(said.put, 6)
    for step in (7, 8):
        watch.finish_step(step)
    with watch.watched(), watch.waiting_for(what):
        first, second = said.get(timeout=60), said.get(timeout=60)
    assert (first.step, first.waits_for) == (8, what)
    assert first.seconds > (0.05 if what in ("data", "device") else 0.1)
    assert second.seconds > 2 * first.seconds
    assert f"it waits for the {what}" in str(first)


def test_the_first_step_may_take_its_time_and_is_told_too(said):
    watch = Standstill(said.put, 0)
    with watch.watched():
        pause = said.get(timeout=60)
    assert (pause.step, pause.median, pause.waits_for) == (0, None, "host")
    assert pause.seconds > 0.1


@pytest.fixture
def now(monkeypatch):
    """The time in seconds, in a list."""
    now = [0.0]
    monkeypatch.setattr(standstill.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(standstill, "_LOOK_SECONDS", 0.005)
    return now


def test_slow_steps_are_given_ten_times_their_median(now):
    said = queue.Queue()
    watch = Standstill(said.put, 0)
    for step, seconds in enumerate([900.0, 20.0, 15.0, 20.0, 300.0], start=1):
        now[0] += seconds
        watch.finish_step(step)
    with watch.watched(), watch.waiting_for("device"):
        now[0] += 199.0
        with pytest.raises(queue.Empty):
            said.get(timeout=0.1)
        now[0] += 2.0
        pause = said.get(timeout=60)
    # The first step, which waits for the compiler, says nothing of the others.
    assert (pause.step, pause.seconds, pause.median) == (5, 201.0, 20.0)


def test_an_evaluation_is_no_part_of_a_step(now):
    said = queue.Queue()
    watch = Standstill(said.put, 1)
    for step in (2, 3):
        with watch.waiting_for("evaluation"):
            now[0] += 500.0
        now[0] += 30.0
        watch.finish_step(step)
    with watch.watched(), watch.waiting_for("data"):
        now[0] += 301.0
        assert said.get(timeout=60).median == 30.0


def test_nothing_is_said_after_the_end_and_a_failed_write_ends_nothing(said):
    def fail(pause):
        said.put(pause)
        raise standstill.UserError("the disk is full")

    watch = Standstill(fail, 0)
    with watch.watched():
        said.get(timeout=60)
        said.get(timeout=60)  # the thread goes on
    while not said.empty():
        said.get()
    with pytest.raises(queue.Empty):
        said.get(timeout=0.5)
