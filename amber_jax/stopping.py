"""How a command ends that is asked to stop while it is still being imported.

Imports nothing that takes time, so that it can stand before all that does.
"""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

STOPPING = (signal.SIGTERM, signal.SIGINT)
START_AGAIN = os.EX_TEMPFAIL  # 75: a run is not over, and goes on where it is started


def heeded() -> list[signal.Signals]:
    """Returns the signals that stop a command; ignored ones stay so, as in nohup."""
    return [n for n in STOPPING if signal.getsignal(n) is not signal.SIG_IGN]


def sentence(number: int) -> str:
    """Returns what a command says that signal `number` has stopped."""
    return f"stopped by {signal.Signals(number).name}"


def leave_to_start_again(sentence: str) -> NoReturn:
    """Ends this process at once with a sentence on stderr and `START_AGAIN`."""
    if sys.__stderr__ is not None:  # as of a program without a terminal
        os.write(sys.__stderr__.fileno(), f"{sentence}\n".encode())
    os._exit(START_AGAIN)  # the interpreter's end would wait for other processes


def stop_at_once() -> None:
    """Lets SIGTERM and SIGINT end the process, with a sentence and 128 + their number.

    For the time before `command_line.run`, when there is nothing to put in order.
    """
    for number in heeded():
        signal.signal(number, _leave)


def _leave(number: int, _: FrameType | None) -> None:
    os.write(2, f"{sentence(number)}\n".encode())
    os._exit(128 + number)
