"""One decision for all processes of a run: the first one takes it and tells the others.

Several processes that each look at a folder may see it differently, as a shared file
system shows new files late, and would then wait for each other in different places.
"""

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from amber_jax.errors import UserError

T = TypeVar("T")

_numbers = itertools.count()  # of decisions; they are the same ones in all processes
_LOOK_MILLISECONDS = 1000  # so often a process that waits hears its signals
# In which all others come to know of an error. JAX aborts all processes when one of
# them has been dead for 100 seconds.
_LAST_WORD_SECONDS = 60.0
_LEAVE_SECONDS = 0.05  # between two looks whether the first one has left
_PIECE_CHARACTERS = 1 << 20  # a message of 4 MB is refused


def is_first() -> bool:
    """Returns whether this is the process that decides, writes and tells."""
    return jax.process_index() == 0


def silent(_: str) -> None:
    """Says nothing: what takes the notes of processes but the first."""


def decided_by_first(decide: Callable[[], T]) -> T:
    """Returns what `decide` returns in the first process, in every process.

    All processes call it, in the same order. A collective would do too, but on CPUs
    the first one fails where a process is half a minute late.

    Args:
        decide: called in the first process alone; its result is JSON-able.

    Raises:
        UserError: `decide` raised it; every process does, with its `decision` set,
            and calls `take_leave` before it ends.
    """
    if jax.process_count() == 1:
        return decide()
    from jax._src.distributed import global_state  # JAX has no public name for it

    client: Any = global_state.client
    key = f"amber_jax/decision/{next(_numbers)}"
    if is_first():
        try:
            decided = decide()
        except UserError as error:
            _send(client, key, {"error": str(error), "passes": error.passes})
            error.decision = key
            raise
        _send(client, key, {"decided": decided})
        return decided
    answer = _receive(client, key)
    if "error" in answer:
        same = UserError(answer["error"])
        same.passes, same.decision = answer["passes"], key
        raise same
    return answer["decided"]


def done_by_first(act: Callable[[], object]) -> None:
    """Lets the first process alone do something; all others wait until it is done.

    Raises:
        UserError: as `decided_by_first`.
    """

    def decide() -> None:
        act()

    decided_by_first(decide)


def _send(client: Any, key: str, answer: dict[str, Any]) -> None:
    text = json.dumps(answer)
    pieces = range(0, len(text), _PIECE_CHARACTERS)
    for number, begin in enumerate(pieces):
        client.key_value_set(f"{key}/{number}", text[begin : begin + _PIECE_CHARACTERS])
    client.key_value_set(f"{key}/pieces", str(len(pieces)))


def _receive(client: Any, key: str) -> dict[str, Any]:
    count = int(_value(client, f"{key}/pieces"))
    return json.loads("".join(_value(client, f"{key}/{n}") for n in range(count)))


def _value(client: Any, key: str) -> str:
    while (value := _look(client, key)) is None:
        pass
    return value


def _look(client: Any, key: str) -> str | None:
    """Returns the value of a key, or None if a process has not set it by now."""
    try:
        return client.blocking_key_value_get(key, _LOOK_MILLISECONDS)
    except jax.errors.JaxRuntimeError as error:
        if "DEADLINE_EXCEEDED" not in str(error):
            raise
        return None


def take_leave(decision: str, missing: Callable[[], list[int]]) -> None:
    """Returns when this process may end with an error that all processes raise.

    The first one waits until the others know of it, as it serves what they read. They
    wait until the first one has left, so that it takes none of them for dead.

    Args:
        decision: of the error.
        missing: returns the processes that have gone, as far as this one can tell.
    """
    from jax._src.distributed import global_state

    client: Any = global_state.client
    if not is_first():
        key = f"{decision}/known/{jax.process_index()}"
        # In a thread, as the first may be gone before its answer comes here.
        threading.Thread(target=_acknowledge, args=(client, key), daemon=True).start()
        while 0 not in missing():
            time.sleep(_LEAVE_SECONDS)
        return
    end = time.monotonic() + _LAST_WORD_SECONDS
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        for index in range(1, jax.process_count()):
            key = f"{decision}/known/{index}"
            while index not in missing() and _look(client, key) is None:
                if time.monotonic() > end:
                    return


def _acknowledge(client: Any, key: str) -> None:
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        client.key_value_set(key, "")
