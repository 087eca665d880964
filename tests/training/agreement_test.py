"""What the first process decides holds in all."""

import itertools
import threading
import time

import jax
import pytest
from jax._src import distributed

from amber_jax.errors import StorageError, UserError
from amber_jax.training import agreement


class Client:
    """The store of keys that processes share."""

    def __init__(self):
        self.values = {}

    def key_value_set(self, key, value):
        assert len(value) < 4_000_000
        self.values[key] = value

    def blocking_key_value_get(self, key, milliseconds):
        if key not in self.values:
            time.sleep(0.001)
            raise jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED: not yet")
        return self.values[key]


@pytest.fixture
def processes(monkeypatch):
    """A function: becomes process `index` of two."""
    client = Client()
    monkeypatch.setattr(distributed.global_state, "client", client)
    monkeypatch.setattr(jax, "process_count", lambda: 2)

    def become(index):
        monkeypatch.setattr(jax, "process_index", lambda: index)
        monkeypatch.setattr(agreement, "_numbers", itertools.count())
        return client

    return become


def never():
    raise AssertionError("the first process alone decides")


def test_one_process_decides_by_itself():
    assert agreement.decided_by_first(lambda: (1, 2)) == (1, 2)


@pytest.mark.parametrize("decision", [None, 7, {"step": 3}, "x" * 5_000_000])
def test_what_the_first_decides_is_told(decision, processes):
    processes(0)
    assert agreement.decided_by_first(lambda: decision) == decision
    processes(1)
    assert agreement.decided_by_first(never) == decision


def test_decisions_are_kept_apart(processes):
    processes(0)
    for number in range(3):
        agreement.decided_by_first(lambda number=number: number)
    processes(1)
    assert [agreement.decided_by_first(never) for _ in range(3)] == [0, 1, 2]


def refuse():
    raise UserError("there is none; make one")


def refused(decide):
    with pytest.raises(UserError, match="there is none; make one") as raised:
        agreement.decided_by_first(decide)
    return raised.value.decision


def nobody():
    return []


def test_what_the_first_finds_wrong_ends_all_and_it_waits_for_them(processes):
    client = processes(0)
    decision = refused(refuse)
    leaving = threading.Thread(target=agreement.take_leave, args=(decision, nobody))
    leaving.start()
    leaving.join(0.1)
    assert leaving.is_alive()
    client.key_value_set(f"{decision}/known/1", "")
    leaving.join(10)
    assert not leaving.is_alive()


def test_the_others_say_that_they_know_and_wait_until_the_first_has_left(processes):
    processes(0)
    refused(refuse)
    client = processes(1)
    decision = refused(never)
    there = iter([[], []])
    agreement.take_leave(decision, lambda: next(there, [0]))
    assert next(there, None) is None
    wait_until(lambda: f"{decision}/known/1" in client.values)


@pytest.mark.parametrize("index", [0, 1])
def test_nobody_waits_for_a_process_that_has_gone(index, processes):
    processes(0)
    decision = refused(refuse)
    processes(index)
    agreement.take_leave(decision, lambda: [1 - index])


@pytest.mark.parametrize("index", [0, 1])
def test_nobody_waits_for_ever(index, processes, monkeypatch):
    processes(0)
    decision = refused(refuse)
    processes(index)
    monkeypatch.setattr(agreement, "_LAST_WORD_SECONDS", 0.2)
    agreement.take_leave(decision, nobody)


def test_an_error_that_is_no_decision_is_of_one_process():
    assert UserError("its own").decision is None


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_may_pass_in_the_first_may_pass_in_all(processes):
    def fail():
        raise StorageError("gs://b/run", "read", "503", "start again", passes=True)

    for index, decide in enumerate((fail, never)):
        processes(index)
        with pytest.raises(UserError, match="gs://b/run cannot be read") as raised:
            agreement.decided_by_first(decide)
        assert raised.value.passes
