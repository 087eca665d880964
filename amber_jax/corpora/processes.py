"""Work mapped over processes, results in order of the work."""

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any

from amber_jax.errors import WorkersLost

Report = Callable[[str, int, int], None]  # stage, bytes done, bytes in all
Mapper = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


@contextlib.contextmanager
def mapper(processes: int) -> Iterator[Mapper]:
    """Yields a `map` that runs on `processes` workers, 0 for one on each core.

    Functions and work must be picklable: workers are spawned, never forked.

    Raises:
        WorkersLost: a worker was killed.
    """
    processes = processes or os.cpu_count() or 1
    if processes == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_end_with, initargs=(receiver,)
    ) as pool:
        try:
            yield functools.partial(_mapped, pool)
        except BrokenProcessPool as error:
            raise WorkersLost(
                "a worker process was killed, most likely for memory; "
                "run again with fewer processes or smaller unit_bytes"
            ) from error
        except BaseException:
            sender.close()
            pool.shutdown(cancel_futures=True)
            raise


def _mapped(
    pool: ProcessPoolExecutor, function: Callable[[Any], Any], work: Iterable[Any]
) -> Iterator[Any]:
    # Not the pool's own map: it cancels what is left when nobody waits for it any
    # more, while the pool's thread tells the same futures that their workers are gone.
    waiting = [pool.submit(function, piece) for piece in work][::-1]
    while waiting:
        yield waiting.pop().result()


def _end_with(parent: Connection) -> None:
    """Ends this worker, whatever it does, when the parent closes its end of a pipe.

    It does so if it stops early, and if it is killed: the worker would wait for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too

    def watch() -> None:
        parent.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def reported(
    stage: str,
    results: Iterable[Any],
    sizes: Sequence[int],
    report: Report,
    before: int = 0,
) -> Iterator[Any]:
    """Yields `results`, calling `report(stage, done, total)` before each.

    Args:
        stage: what is done.
        results: of pieces of work, in their order.
        sizes: of the pieces, in bytes.
        report: is told of bytes.
        before: those that were done earlier.
    """
    done, total = before, before + sum(sizes)
    report(stage, done, total)
    for size, result in zip(sizes, results, strict=True):
        done += size
        report(stage, done, total)
        yield result
