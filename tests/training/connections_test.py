"""What passes between processes: JAX's bytes unchanged, and pulses beside them."""

import contextlib
import queue
import socket
import threading
import time

import pytest

from amber_jax.training import connections
from amber_jax.training.connections import (
    Pulses,
    connect_pulse,
    follow,
    free_port,
    start_relay,
)


@pytest.fixture
def first(monkeypatch):
    """Pulses of process 0 of three, its address, and a queue of who is gone."""
    monkeypatch.setattr(connections, "_PULSE_SECONDS", 0.1)
    gone = queue.Queue()
    pulses = Pulses(3, silence=1.0, on_gone=lambda *what: gone.put(what))
    port = free_port()
    address = start_relay(
        ("127.0.0.1", port), ("127.0.0.1", 9), on_break=lambda: None, pulses=pulses
    )
    return pulses, address, gone


def wait_until(condition):
    while not condition():
        time.sleep(0.01)


def test_process_0_knows_who_is_missing_and_who_ended(first):
    pulses, address, gone = first
    assert pulses.missing() == [1, 2]
    connection = connect_pulse(address, 2)
    wait_until(lambda: pulses.missing() == [1])
    connection.close()
    assert gone.get(timeout=10) == (2, "process 2 of this run has ended")
    assert pulses.missing() == [1, 2]
    assert not pulses.complete.is_set()
    with connect_pulse(address, 1):  # each has been there, if not at one time
        assert pulses.complete.wait(10)


def test_a_process_that_says_nothing_is_gone(first):
    _, address, gone = first
    with connect_pulse(address, 1):
        assert gone.get(timeout=10) == (
            *(1, "process 1 of this run has been silent for 1 seconds"),
        )


def test_the_others_hear_what_process_0_says_while_they_live(first):
    pulses, address, gone = first
    heard = queue.Queue()
    connection = connect_pulse(address, 1)
    threading.Thread(
        target=follow,
        args=(connection,),
        kwargs={"silence": 5.0, "on_sentence": heard.put},
        daemon=True,
    ).start()
    wait_until(lambda: pulses.missing() == [2])
    time.sleep(1.5)  # longer than silence may last
    pulses.tell("gone: process 2")
    assert heard.get(timeout=10) == "gone: process 2"
    assert gone.empty()
    connection.shutdown(socket.SHUT_RDWR)


def test_other_connections_are_passed_on_and_their_end_is_told():
    with socket.create_server(("127.0.0.1", 0)) as service:
        broken = threading.Event()
        address = start_relay(
            *(("127.0.0.1", free_port()), service.getsockname()), on_break=broken.set
        )
        with socket.create_connection(address) as near:
            near.sendall(b"PRI * HTTP/2.0")
            far, _ = service.accept()
            assert far.recv(14, socket.MSG_WAITALL) == b"PRI * HTTP/2.0"
            far.sendall(b"back")
            assert near.recv(4, socket.MSG_WAITALL) == b"back"
            assert not broken.is_set()
            far.close()
            assert broken.wait(10)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_health_check_or_a_scan_of_ports_is_no_process_that_ends(said):
    broken = queue.Queue()
    address = start_relay(
        ("127.0.0.1", free_port()),
        ("127.0.0.1", 9),
        on_break=lambda: broken.put("broken"),
    )
    with socket.create_connection(address) as connection:
        connection.sendall(said)
        with contextlib.suppress(OSError):  # the relay may have reset it by now
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
    with pytest.raises(queue.Empty):
        broken.get(timeout=0.2)
