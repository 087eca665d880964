"""The processes of one run: how they join, and how they notice that one has died.

JAX's processes hold a connection to a coordinator in process 0, and abort with a dump
of the C++ stack as soon as it breaks. Here it leads through a relay in each process,
which sees the break first and hides it from JAX until the process has said one line.
"""

import contextlib
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

import jax

from amber_jax.errors import UserError
from amber_jax.stopping import START_AGAIN

# Linux's names; together they notice a machine that vanished after 14 seconds.
_KEEP_ALIVE = {
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 3,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 14_000,  # milliseconds
}
_JOIN_SECONDS = 300  # JAX's own default
# What ends one process may be about to end this one too, with a sentence of its own.
_OWN_END_SECONDS = 3.0
_CHUNK_BYTES = 1 << 16

Address = tuple[str, int]


@contextlib.contextmanager
def joined(who: str) -> Iterator[None]:
    """Joins this process to the others of its run while inside the block.

    If another one dies meanwhile, this one says so in a line on stderr and ends with
    status `START_AGAIN`: at most 5 seconds after another process died, 20 after its
    machine did.

    Args:
        who: HOST:PORT,COUNT,INDEX; or "auto", on a TPU pod or under Slurm, where it
            is JAX that notices, after 100 seconds.

    Raises:
        UserError: there is no one to join.
    """
    watch = _Watch()
    alone = threading.Timer(
        _JOIN_SECONDS,
        _leave,
        args=(
            f"error: --distributed={who} waited {_JOIN_SECONDS} seconds for the other "
            "processes; start all of them, with the same HOST:PORT,COUNT",
        ),
    )
    alone.daemon = True
    alone.start()
    try:
        if who == "auto":
            jax.distributed.initialize(initialization_timeout=2 * _JOIN_SECONDS)
        else:
            address, *numbers = who.split(",")
            count, index = map(int, numbers)
            if not 0 <= index < count:
                raise ValueError(f"process {index} of {count} is none")
            _join(address, count, index, watch)
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(
            f"--distributed={who} found no one to join ({str(error).splitlines()[0]}); "
            "wanted auto, on a TPU pod or under Slurm, or HOST:PORT,COUNT,INDEX"
        ) from error
    finally:
        alone.cancel()
    watch.joined = True
    try:
        yield
        jax.distributed.shutdown()  # returns when all processes have come here
    except Exception as error:
        if not isinstance(error, UserError) or "Gloo" in str(error):  # as a save's
            # A collective fails when a process is gone: the watch says so meanwhile.
            time.sleep(2 * _OWN_END_SECONDS)
        raise
    finally:
        watch.ending = True


class _Watch:
    """What a broken connection means: whether a process has died."""

    def __init__(self) -> None:
        self.joined = self.ending = False

    def broken(self) -> None:
        """Ends this process with one line, if others are missed; returns before."""
        if not self.joined:
            return  # JAX goes on trying
        time.sleep(_OWN_END_SECONDS)
        if not self.ending:
            _leave(
                "error: another process of this run has ended; start all of them "
                "again, and they go on from the last checkpoint"
            )
        threading.Event().wait()  # JAX would abort this process, which ends by itself


def _leave(sentence: str) -> NoReturn:
    if sys.__stderr__ is not None:  # as of a program without a terminal
        os.write(sys.__stderr__.fileno(), f"{sentence}\n".encode())
    os._exit(START_AGAIN)  # the interpreter's end would wait for the other process


def _join(address: str, count: int, index: int, watch: _Watch) -> None:
    host, _, port = address.rpartition(":")
    coordinator = (host.strip("[]"), int(port))
    if not 0 < coordinator[1] < 1 << 16:
        raise ValueError(f"port {port} is none")
    if index == 0:
        service = ("127.0.0.1", _free_port())
        _start_relay(("", coordinator[1]), service, watch)
        near = service
    else:
        near = _start_relay(("127.0.0.1", 0), coordinator, watch)
    near_address = "{}:{}".format(*near)
    jax.distributed.initialize(
        near_address,
        count,
        index,
        coordinator_bind_address=near_address,
        initialization_timeout=2 * _JOIN_SECONDS,  # it aborts then
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _start_relay(listen: Address, target: Address, watch: _Watch) -> Address:
    """Passes every connection to `listen` on to `target`; returns what it listens to.

    Raises:
        OSError: the port is taken.
    """
    if listen[0] == "" and socket.has_dualstack_ipv6():
        server = socket.create_server(
            listen, family=socket.AF_INET6, dualstack_ipv6=True
        )
    else:
        server = socket.create_server(listen)

    def accept() -> None:
        while True:
            near, _ = server.accept()
            threading.Thread(
                target=_pass_on, args=(near, target, watch), daemon=True
            ).start()

    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[:2]


def _pass_on(near: socket.socket, target: Address, watch: _Watch) -> None:
    """Carries bytes both ways until one side ends.

    What JAX holds in this process is `near`, which is closed last, or the service.
    """
    with near:
        with contextlib.suppress(OSError), socket.create_connection(target) as far:
            for end in (near, far):
                _keep_alive(end)
            _carry(near, far)
        watch.broken()


def _carry(near: socket.socket, far: socket.socket) -> None:
    other = {near: far, far: near}
    while True:
        for ready in select.select([near, far], [], [])[0]:
            data = ready.recv(_CHUNK_BYTES)
            if not data:
                return
            other[ready].sendall(data)


def _keep_alive(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
