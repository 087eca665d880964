"""What the first process decides holds in all."""

import itertools

import jax
import pytest
from jax._src import distributed

from amber_jax.errors import StorageError, UserError
from amber_jax.training import agreement


class Client:
    """The store of keys that processes share."""

    def __init__(self):
        self.values = {}
        self.waited = []

    def key_value_set(self, key, value):
        assert len(value) < 4_000_000
        self.values[key] = value

    def blocking_key_value_get(self, key, milliseconds):
        if key not in self.values:
            raise jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED: not yet")
        return self.values[key]

    def wait_at_barrier(self, key, milliseconds):
        self.waited.append(key)


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


def test_what_the_first_finds_wrong_ends_all_and_it_waits_for_them(processes):
    def refuse():
        raise UserError("there is none; make one")

    for index, decide in enumerate((refuse, never)):
        client = processes(index)
        with pytest.raises(UserError, match="there is none; make one"):
            agreement.decided_by_first(decide)
    assert len(client.waited) == 2
    assert len(set(client.waited)) == 1


def test_what_may_pass_in_the_first_may_pass_in_all(processes):
    def fail():
        raise StorageError("gs://b/run", "read", "503", "start again", passes=True)

    for index, decide in enumerate((fail, never)):
        processes(index)
        with pytest.raises(UserError, match="gs://b/run cannot be read") as raised:
            agreement.decided_by_first(decide)
        assert raised.value.passes
