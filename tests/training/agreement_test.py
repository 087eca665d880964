"""What the first process decides holds in all."""

import contextlib
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
    """A function: becomes process `index` of `count`."""
    client = Client()
    monkeypatch.setattr(distributed.global_state, "client", client)

    def become(index, count=2):
        monkeypatch.setattr(jax, "process_count", lambda: count)
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


@contextlib.contextmanager
def taking_leave(decision, missing):
    """Takes leave beside the block; gives what tells whether that is still so."""
    leaving = threading.Thread(
        target=agreement.take_leave, args=(decision, missing), daemon=True
    )
    leaving.start()
    yield leaving.is_alive
    leaving.join(10)
    assert not leaving.is_alive()


def test_what_the_first_finds_wrong_ends_all_and_it_waits_for_them(processes):
    client = processes(0, count=3)
    decision = refused(refuse)
    with taking_leave(decision, nobody) as waits:
        for index in (2, 1):
            time.sleep(0.1)
            assert waits()
            client.key_value_set(f"{decision}/known/{index}", "")


def test_the_others_say_that_they_know_and_wait_until_the_first_has_left(processes):
    processes(0)
    refused(refuse)
    client = processes(1)
    decision = refused(never)
    left = []
    with taking_leave(decision, lambda: left) as waits:
        while f"{decision}/known/1" not in client.values:
            time.sleep(0.001)
        time.sleep(0.1)
        assert waits()
        left.append(0)


def test_nobody_is_waited_for_who_has_gone(processes):
    client = processes(0, count=3)
    decision = refused(refuse)
    left = []
    with taking_leave(decision, lambda: left) as waits:
        client.key_value_set(f"{decision}/known/1", "")
        time.sleep(0.1)
        assert waits()
        left.append(2)


def test_the_first_waits_for_nobody_for_ever(processes, monkeypatch):
    processes(0)
    monkeypatch.setattr(agreement, "_LAST_WORD_SECONDS", 0.2)
    with taking_leave(refused(refuse), nobody):
        pass


def test_the_error_stays_what_is_said_if_the_store_of_keys_breaks(
    processes, monkeypatch
):
    def breaks(*_):
        raise jax.errors.JaxRuntimeError("UNAVAILABLE: it has gone")

    client = processes(0)
    decision = refused(refuse)
    monkeypatch.setattr(client, "blocking_key_value_get", breaks)
    agreement.take_leave(decision, nobody)


def test_an_error_of_a_process_alone_takes_no_leave():
    assert refused(refuse) is None


def test_what_may_pass_in_the_first_may_pass_in_all(processes):
    def fail():
        raise StorageError("gs://b/run", "read", "503", "start again", passes=True)

    for index, decide in enumerate((fail, never)):
        processes(index)
        with pytest.raises(UserError, match="gs://b/run cannot be read") as raised:
            agreement.decided_by_first(decide)
        assert raised.value.passes
