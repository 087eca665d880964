"""What runs between the processes of a run: a relay for JAX, and a pulse beside it.

Process 0 listens on one port. A connection that begins as a pulse says which process
it is of, and that it lives, once a second; process 0 answers in kind, and with a
sentence when another process is gone. Any other connection is JAX's own, passed on.
"""

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

# Linux's names; together they notice a machine that vanished after 14 seconds.
_KEEP_ALIVE = {
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 3,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 14_000,  # milliseconds
}
_CHUNK_BYTES = 1 << 16
_PULSE_SECONDS = 1.0
_MAGIC = b"amber"
_OF_JAX = b"PRI *"  # HTTP/2, which JAX speaks. Source: RFC 9113, 3.4
_HELLO = struct.Struct(f"!{len(_MAGIC)}sI")  # and the index of the process

Address = tuple[str, int]


def free_port() -> int:
    """Returns a port of this machine that nothing listens to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Pulses:
    """What process 0 knows of the others.

    Args:
        count: of all processes.
        silence: seconds without a pulse after which a process is gone.
        on_gone: called with the index of one that is, and a sentence.

    Attributes:
        complete: set when every process has been connected.
    """

    def __init__(
        self, count: int, *, silence: float, on_gone: Callable[[int, str], None]
    ) -> None:
        self._count, self._silence, self._on_gone = count, silence, on_gone
        self._connections: dict[int, socket.socket] = {}
        self._awaited = {*range(1, count)}
        self.complete = threading.Event()
        if not self._awaited:
            self.complete.set()

    def missing(self) -> list[int]:
        """Returns the processes that are not connected."""
        return sorted({*range(1, self._count)} - self._connections.keys())

    def tell(self, sentence: str) -> None:
        """Says to all others that a process is gone."""
        for connection in list(self._connections.values()):
            with contextlib.suppress(OSError):
                connection.sendall(f"{sentence}\n".encode())

    def listen(self, connection: socket.socket) -> None:
        """Follows a connection that begins as a pulse until its process is gone."""
        hello = connection.recv(_HELLO.size, socket.MSG_WAITALL)
        if len(hello) < _HELLO.size:
            return
        _, index = _HELLO.unpack(hello)
        self._connections[index] = connection
        self._awaited.discard(index)
        if not self._awaited:
            self.complete.set()
        ends = follow(connection, silence=self._silence, on_sentence=lambda _: None)
        if self._connections.get(index) is connection:
            del self._connections[index]
            self._on_gone(index, f"process {index} of this run {ends}")


def follow(
    connection: socket.socket, *, silence: float, on_sentence: Callable[[str], None]
) -> str:
    """Exchanges pulses until there are none any more; returns what has happened.

    Args:
        connection: of two processes.
        silence: seconds after which the other one counts as gone.
        on_sentence: called with what it says.
    """
    threading.Thread(target=_beat, args=(connection,), daemon=True).start()
    connection.settimeout(silence)
    line = b""
    try:
        while data := connection.recv(_CHUNK_BYTES):
            *lines, line = (line + data).split(b"\n")
            for sentence in filter(None, lines):
                on_sentence(sentence.decode())
    except TimeoutError:
        return f"has been silent for {silence:.0f} seconds"
    except OSError:
        pass  # reset, or its machine does not answer
    return "has ended"


def _beat(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b"\n")
            time.sleep(_PULSE_SECONDS)


def connect_pulse(target: Address, index: int) -> socket.socket:
    """Returns a connection to process 0 that begins as a pulse; waits for it."""
    while True:
        try:
            connection = socket.create_connection(target)
            keep_alive(connection)
            connection.sendall(_HELLO.pack(_MAGIC, index))
        except OSError:
            time.sleep(_PULSE_SECONDS)
        else:
            return connection


def start_relay(
    listen: Address,
    target: Address,
    *,
    on_break: Callable[[], None],
    pulses: Pulses | None = None,
) -> Address:
    """Passes every connection to `listen` on to `target`; returns what it listens to.

    Args:
        listen: the host "" is every address of this machine.
        target: where JAX's coordinator, or the next relay, listens.
        on_break: called when a connection has ended, before JAX sees that.
        pulses: what takes the connections that begin as a pulse.

    Raises:
        OSError: the port is taken.
    """
    if listen[0] == "" and socket.has_dualstack_ipv6():
        server = socket.create_server(
            listen, family=socket.AF_INET6, dualstack_ipv6=True
        )
    else:
        server = socket.create_server(listen)

    def serve(near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            keep_alive(near)
            first = near.recv(len(_MAGIC), socket.MSG_PEEK | socket.MSG_WAITALL)
            if pulses is not None and first == _MAGIC:
                pulses.listen(near)
            elif first == _OF_JAX:  # else a health check, or a scan of ports
                _pass_on(near, target, on_break)

    def accept() -> None:
        while True:
            near, _ = server.accept()
            threading.Thread(target=serve, args=(near,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[:2]


def _pass_on(
    near: socket.socket, target: Address, on_break: Callable[[], None]
) -> None:
    """Carries bytes both ways until one side ends.

    What JAX holds in this process is `near`, which is closed last, or the service.
    """
    with contextlib.suppress(OSError), socket.create_connection(target) as far:
        keep_alive(far)
        _carry(near, far)
    on_break()


def _carry(near: socket.socket, far: socket.socket) -> None:
    other = {near: far, far: near}
    while True:
        for ready in select.select([near, far], [], [])[0]:
            data = ready.recv(_CHUNK_BYTES)
            if not data:
                return
            other[ready].sendall(data)


def keep_alive(end: socket.socket) -> None:
    """Lets a connection end when the machine at its other end has vanished."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
