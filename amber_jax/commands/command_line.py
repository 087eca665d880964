"""What every command does around its main: flags in, one-sentence errors out."""

import ast
import contextlib
import functools
import gc
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from absl import app, flags, logging

from amber_jax import stopping
from amber_jax.errors import UserError
from amber_jax.training import allocator

BUG, USAGE_ERROR = 1, 2
# Source: what shells show for a program that a signal ended, 128 + its number.
LOST_READER = 128 + signal.SIGPIPE
_ONE_REQUEST_SECONDS = 1.0  # `timeout` sends its signal twice
_LATER_SECONDS = 0.01
_COMPILE_CACHE = "JAX_COMPILATION_CACHE_DIR"  # JAX's own; empty: no cache
# What absl and ml_collections raise; the lookup may be of a key or of `stages[7]`.
_FLAG_MISTAKES = (
    *(flags.Error, AttributeError, LookupError, ValueError, TypeError),
    # Of a config, which is Python.
    *(SyntaxError, ImportError, NameError, ArithmeticError),
)
_UNKNOWN_NAMES = (flags.UnrecognizedFlagError, AttributeError, LookupError)


def _parse_flags(argv: Sequence[str], most: int) -> list[str]:
    """Returns the command and at most so many arguments that are no flags.

    Raises:
        UserError: there are more, or a flag is not understood.
    """
    try:
        rest = flags.FLAGS(list(argv))
    except SystemExit as helped:  # absl calls it a fault
        raise SystemExit(0) from helped
    except _FLAG_MISTAKES as error:
        mistake = f"flags not understood: {_indexed(argv, error)}{_one_line(error)}"
        if isinstance(error, _UNKNOWN_NAMES):
            mistake = "; ".join([mistake, *_renamed(argv, mistake)])
        raise UserError(mistake) from error
    if len(rest) > 1 + most:
        raise UserError(
            f"unexpected argument {rest[1 + most]!r}; every setting is a flag, "
            "as in --config.seed=1"
        )
    return rest


def _indexed(argv: Sequence[str], error: Exception) -> str:
    """Returns the flags that an IndexError may be about, whose text names none."""
    if not isinstance(error, IndexError):
        return ""
    indexed = [argument for argument in argv if "[" in argument.split("=")[0]]
    return f"in {', '.join(indexed)}, where the first is [0], "


def _renamed(argv: Sequence[str], mistake: str) -> Iterator[str]:
    """Yields the new names of settings and flags that a mistake may be about."""
    from amber_jax.config.renamed import explanations  # brings JAX

    given = [argument.split("=")[0] for argument in argv]
    return explanations([*given, *re.findall(r'Key "(\w+)"', mistake)])


def require_keys(config: Mapping[str, object], wanted: Iterable[str]) -> None:
    """Raises UserError if `config` lacks a setting that this command reads."""
    missing = sorted(set(wanted) - set(config.keys()))
    if missing:
        raise UserError(
            f"--config is of another command: it has no {', '.join(missing[:3])}; "
            "the command's --help names one that fits"
        )


def _one_line(error: Exception) -> str:
    text = str(error.args[0] if error.args else error)
    if text.startswith("'\\'"):  # the text of an inner KeyError, quoted once more
        text = ast.literal_eval(text)
    return " ".join(text.split())


def _speak_of(module: str) -> None:
    """Makes --help show this module, where absl shows the program's main one."""
    sys.modules["__main__"].__doc__ = sys.modules[module].__doc__
    for flag in flags.FLAGS.get_key_flags_for_module(module):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def _keep_compiled_programs() -> None:
    """Lets compiled programs outlive the command, unless the user chose for JAX.

    They go to `amber_jax/xla` in the user's cache folder; if it cannot be written,
    every command compiles anew, and JAX does not say so for each program.
    """
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation")
    if _COMPILE_CACHE in os.environ:
        return
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = caches / "amber_jax" / "xla"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # as on a full disk, or without a home
        return
    if os.access(folder, os.W_OK):
        os.environ[_COMPILE_CACHE] = str(folder)
        # Small programs too: they cost a few kilobytes, and nothing measurable to keep.
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


class _Stop:
    """Ends the command when SIGTERM or SIGINT asks for it, through every `finally`."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._heard = -_ONE_REQUEST_SECONDS
        self._put_off = False
        self._numbers = stopping.heeded()
        self._handle(self._stop)

    def end(self, how: signal.Handlers) -> None:
        """Stops listening, for the interpreter's own end or a process's."""
        self._handle(how)

    def _handle(self, how: Any) -> None:
        for number in self._numbers:
            signal.signal(number, how)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        if _swallows(frame):
            if not self._put_off:
                self._put_off = True
                threading.Thread(target=self._send_again, daemon=True).start()
            return
        self._put_off = False
        since, self._heard = time.monotonic() - self._heard, time.monotonic()
        if since >= _ONE_REQUEST_SECONDS:
            raise SystemExit(128 + number)

    def _send_again(self) -> None:
        """Sends the signal until it comes where it can end the command.

        Once is not enough: what comes just before a call that waits for long is heard
        only when that call returns.
        """
        while self._put_off:
            time.sleep(_LATER_SECONDS)
            listening = signal.getsignal(self.number) == self._stop
            signal.pthread_kill(threading.main_thread().ident, self.number)
            if not listening:  # but training, for which once is enough
                self._put_off = False


def _swallows(frame: FrameType | None) -> bool:
    """Returns whether an exception here is printed and forgotten, as in JAX's own GC.

    Python does so in callbacks of the garbage collector and in `__del__`.
    """
    callbacks = [getattr(callback, "__code__", None) for callback in gc.callbacks]
    while frame is not None:
        if frame.f_code in callbacks or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def run(
    main: Callable[[Sequence[str]], None],
    *,
    on_devices: bool = False,
    arguments: int = 0,
) -> NoReturn:
    """Parses the flags, runs `main(argv)` and exits with its status.

    Exit status: 0 done; 2 for a mistake the user can fix, with one sentence on stderr;
    130 and 143 when SIGINT or SIGTERM ended it, 141 when the reader of stdout was gone,
    with one sentence as well; 1 for a fault of this package, with a traceback. A
    command that ends early leaves nothing half written.

    Args:
        main: the command.
        on_devices: whether it runs a model: its programs are kept, its memory looked
                after, for which the command may start anew.
        arguments: how many it takes that are no flags, at most.
    """
    if on_devices:
        allocator.start_with_huge_pages()
        _keep_compiled_programs()  # before anything imports JAX, which reads it then
    stop = _Stop()
    _speak_of(main.__module__)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

    def guarded(argv: Sequence[str]) -> None:
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # libraries chat at INFO
        main(argv)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a reader who has gone can still be told

    try:
        parser = functools.partial(_parse_flags, most=arguments)
        app.run(guarded, argv=sys.argv, flags_parser=parser)
    except BaseException as error:
        status, sentence = _outcome(error, stop.number)
        if status == 0:
            stop.end(signal.SIG_DFL)
            raise
        stop.end(signal.SIG_IGN)
        if status == BUG and not isinstance(error, SystemExit):
            sys.excepthook(type(error), error, error.__traceback__)
        _leave(status, sentence)


def _outcome(error: BaseException, stopped_by: int | None) -> tuple[int, str]:
    """Returns the exit status and the sentence of what ended the command."""
    if stopped_by is not None:  # whatever libraries made of it on its way
        return 128 + stopped_by, stopping.sentence(stopped_by)
    if isinstance(error, UserError) and error.passes:
        return stopping.START_AGAIN, f"error: {error}"
    if isinstance(error, UserError):
        return USAGE_ERROR, f"error: {error}"
    if isinstance(error, BrokenPipeError):
        return LOST_READER, "error: what read the output of this command has gone"
    if isinstance(error, SystemExit) and isinstance(error.code, int | None):
        of_signals = {128 + number: number for number in stopping.STOPPING}
        if error.code in of_signals:  # of training, which listens itself
            return error.code, stopping.sentence(of_signals[error.code])
        return error.code or 0, ""
    return BUG, ""


def _leave(status: int, sentence: str) -> NoReturn:
    """Ends the process at once; the interpreter would wait for every thread, or abort.

    Whoever has a file open has closed it: only `finally` blocks are run before.
    """
    with contextlib.suppress(OSError, ValueError):
        if sentence:
            print(sentence, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, None
            stream.flush()
    os._exit(status)
