"""The processes of one run: how they join, and how they notice that one has died.

JAX's processes hold a connection to a coordinator in process 0, and abort with a dump
of the C++ stack as soon as it breaks. Here it leads through a relay in each process,
which sees the break first and hides it from JAX until the process has said one line.
"""

import concurrent.futures
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

import jax

from amber_jax.errors import UserError
from amber_jax.stopping import START_AGAIN, leave_to_start_again
from amber_jax.training.agreement import take_leave
from amber_jax.training.connections import (
    Pulses,
    connect_pulse,
    follow,
    free_port,
    start_relay,
)
from amber_jax.training.membership import Membership, membership

_JOIN_SECONDS = 300  # JAX's own default
_TELL_SECONDS = 10.0  # between two lines that say who is missing
_SILENCE_SECONDS = 60.0  # of a process that stands still; less than JAX's 100
_SHUTDOWN_SECONDS = 24 * 60 * 60  # while process 0 writes the last; the pulse watches
# What ends one process may be about to end this one too, with a sentence of its own.
_OWN_END_SECONDS = 3.0
_NAME_SECONDS = 1.5  # more until its name has come, on a machine with too much work
_HEEDED_SECONDS = 0.2  # between two looks whether a signal has come
_GONE, _MISSING = "gone", "missing"  # what process 0's sentences begin with
_NAMED = 8  # of missing processes, at most


@contextlib.contextmanager
def joined(who: str) -> Iterator[None]:
    """Joins this process to the others of its run while inside the block.

    While one is missing, lines on stderr name it. If another one dies later, this one
    says so in a line and ends with status `START_AGAIN`: at most 5 seconds after
    another process died, 20 after its machine did, 65 after it was stopped. An error
    that all of them raise ends each when all know of it, or after a minute.

    Args:
        who: as `membership` takes it.

    Raises:
        UserError: there is no one to join.
    """
    watch = _Watch()
    try:
        place = membership(who, seconds=_JOIN_SECONDS)
        # A signal that comes meanwhile is heard in Python, and ends the wait.
        with _waiting(place, watch):
            _in_a_thread(lambda: _join(place, watch))
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(
            f"--distributed={who} found no one to join ({str(error).splitlines()[0]}); "
            "wanted auto, on a TPU pod, in GKE or under Slurm, or HOST:PORT,COUNT,INDEX"
        ) from error
    watch.begin()
    try:
        with _together_at_the_end():
            yield
    except Exception as error:
        if not isinstance(error, UserError) or "Gloo" in str(error):  # as a save's
            # A collective fails when a process is gone: the watch says so meanwhile.
            time.sleep(2 * _OWN_END_SECONDS)
        if isinstance(error, UserError) and error.decision is not None:
            watch.ending = True  # with the sentence that all of them have
            take_leave(error.decision, watch.missing)
        raise
    finally:
        watch.ending = True


@contextlib.contextmanager
def _together_at_the_end() -> Iterator[None]:
    """Waits for all processes after the block, also if it ends a run that goes on."""
    try:
        yield
    except SystemExit as end:
        if end.code == START_AGAIN:  # all were asked to stop
            jax.distributed.shutdown()
        raise
    jax.distributed.shutdown()


class _Watch:
    """What this process knows of the others, and what it does when one is gone."""

    def __init__(self) -> None:
        self.joined = self.ending = False
        self.missing: Callable[[], list[int]] = lambda: []
        self.tell: Callable[[str], None] = lambda _: None
        self.named = "other processes"  # those that process 0 misses
        self._sentence = "another process of this run has ended"
        self._heard = threading.Event()  # which one
        self._leaving = threading.Lock()

    def begin(self) -> None:
        """Lets this process end from now on when another one is missed."""
        self.joined = True
        if self.missing():  # since before
            threading.Thread(target=self.broken, daemon=True).start()

    def hear(self, sentence: str) -> None:
        """Takes what process 0 says: who is missing, or that a process is gone."""
        what, _, text = sentence.partition(": ")
        if what == _GONE:  # in a thread: this one hears when process 0 goes as well
            threading.Thread(target=self.gone, args=(text,), daemon=True).start()
        else:
            self.named = text

    def gone(self, sentence: str) -> None:
        """Ends this process, if another one is missed; returns before all joined."""
        self._sentence = sentence
        self._heard.set()
        self.broken()

    def broken(self) -> None:
        """Does so when a connection of JAX is broken, which says less."""
        if not self.joined:
            return  # JAX goes on trying
        time.sleep(_OWN_END_SECONDS)
        self._heard.wait(_NAME_SECONDS)
        with self._leaving:  # one thread says it
            if not self.ending:
                leave_to_start_again(
                    f"error: {self._sentence}; start all of them again, and they go on "
                    "from the last checkpoint"
                )
        threading.Event().wait()  # JAX would abort this process, which ends by itself


def _join(place: Membership, watch: _Watch) -> None:
    host, port = place.coordinator
    if place.index == 0:

        def on_gone(_: int, sentence: str) -> None:
            if watch.joined and not watch.ending:
                pulses.tell(f"{_GONE}: {sentence}")
            watch.gone(sentence)

        pulses = Pulses(place.count, silence=_SILENCE_SECONDS, on_gone=on_gone)
        watch.missing, watch.tell = pulses.missing, pulses.tell
        near = ("127.0.0.1", free_port())
        start_relay(("", port), near, on_break=watch.broken, pulses=pulses)
    else:
        near = start_relay(("127.0.0.1", 0), (host, port), on_break=watch.broken)
        connected = threading.Event()
        watch.missing = lambda: [] if connected.is_set() else [0]
        threading.Thread(
            target=_follow_first, args=(place, watch, connected), daemon=True
        ).start()
        connected.wait()  # before JAX, so that process 0 knows of all that joined
    near_address = "{}:{}".format(*near)
    # Its handler of SIGTERM would stand in front of Python's.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        near_address,
        place.count,
        place.index,
        local_device_ids=place.devices,
        cluster_detection_method="deactivate",
        coordinator_bind_address=near_address,
        initialization_timeout=2 * _JOIN_SECONDS,  # it aborts then
        shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
    )
    if place.index == 0:
        pulses.complete.wait()  # from now on, one that is missing has gone


def _follow_first(place: Membership, watch: _Watch, connected: threading.Event) -> None:
    """Exchanges pulses with process 0, from which this one hears of the others."""
    while True:
        with connect_pulse(place.coordinator, place.index) as connection:
            connected.set()
            ends = follow(connection, silence=_SILENCE_SECONDS, on_sentence=watch.hear)
        connected.clear()
        watch.gone(f"process 0 of this run {ends}")


@contextlib.contextmanager
def _waiting(place: Membership, watch: _Watch) -> Iterator[None]:
    """Says who is missing while inside the block; ends the process if it is long."""
    done = threading.Event()
    begin = time.monotonic()

    def tell() -> None:
        while not done.wait(_TELL_SECONDS):
            waited, missing = time.monotonic() - begin, watch.missing()
            names = _names(missing, place) if missing else watch.named
            watch.tell(f"{_MISSING}: {names}")
            if waited > _JOIN_SECONDS:
                leave_to_start_again(
                    f"error: waited {_JOIN_SECONDS} seconds for {names}; start all "
                    "processes, with the same HOST:PORT,COUNT"
                )
            if missing:
                sentence = f"waiting for {names}, {waited:.0f} of {_JOIN_SECONDS} s"
                print(sentence, file=sys.stderr, flush=True)

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _names(missing: list[int], place: Membership) -> str:
    """Returns what to call processes that are missing."""
    if missing == [0]:
        return "process 0 at {}:{}".format(*place.coordinator)
    shown = ", ".join(map(str, missing[:_NAMED]))
    rest = len(missing) - _NAMED
    more = f" and {rest} more" if rest > 0 else ""
    noun = "process" if len(missing) == 1 else "processes"
    return f"{noun} {shown}{more} (of {place.count}, counted from 0)"


def _in_a_thread(function: Callable[[], None]) -> None:
    """Calls a function that Python cannot interrupt, so that signals are heard."""
    executor = concurrent.futures.ThreadPoolExecutor(1)
    future = executor.submit(function)
    executor.shutdown(wait=False)
    while not future.done():
        with contextlib.suppress(concurrent.futures.TimeoutError):
            future.exception(_HEEDED_SECONDS)
    future.result()
