"""What the user can fix is a UserError; and what tells how."""

import contextlib
import difflib
import errno
import functools
from collections.abc import Callable, Iterable, Iterator


class UserError(Exception):
    """A mistake in a config, file or flag, told in one sentence.

    The sentence names the thing, what was found, what was wanted and what to do.
    Commands print it and exit with status 2; they never show a traceback for it.

    Attributes:
        passes: whether the same command may succeed later, with nothing mended; its
            status is then that of a run that is to be started again.
        decision: the name of what was to be decided, if all processes raise this.
    """

    passes = False
    decision: str | None = None


class DiskFull(UserError):
    """A write that a disk had no room for, or was not open to, in one sentence."""


class WorkersLost(UserError):
    """Workers that ended before their work; what they had done by then stays."""


class StorageError(UserError, OSError):
    """Object storage that did not do what was asked, in one sentence.

    An OSError too, for all that handles those of a disk; `strerror` has the reason.
    """

    def __init__(
        self, path: object, action: str, reason: str, advice: str, *, passes: bool
    ) -> None:
        super().__init__(errno.EIO, reason)
        self.errno, self.strerror, self.passes = errno.EIO, reason, passes
        self._sentence = f"{path} cannot be {action} ({reason}); {advice}"
        self._arguments = str(path), action, reason, advice

    def __str__(self) -> str:
        return self._sentence

    def __reduce__(self) -> tuple[Callable[..., "StorageError"], tuple[str, ...]]:
        """As worker processes hand it over."""
        return functools.partial(StorageError, passes=self.passes), self._arguments


def suggestion(word: str, known: Iterable[str]) -> str:
    """Returns `did you mean ...?` with the nearest known word, or lists them all."""
    known = list(known)
    nearest = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {nearest[0]}?" if nearest else f"wanted {', '.join(known)}"


@contextlib.contextmanager
def from_extra(extra: str, need: str, otherwise: str = "") -> Iterator[None]:
    """Makes an import that fails inside the one sentence that it costs the user.

        with from_extra("hf", "a .bin file is read with PyTorch"):
            import torch

    Args:
        extra: of setup.py, that brings the package.
        need: who needs which package, as the beginning of a sentence.
        otherwise: what can be done without it, as the end of one.

    Raises:
        UserError: the package cannot be imported.
    """
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"{need}, which cannot be imported ({error}); "
            f"pip install 'amber_jax[{extra}]'{otherwise and f', or {otherwise}'}"
        ) from error
