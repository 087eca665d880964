"""A private folder beside the output: an interrupted build leaves no half corpus."""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from amber_jax.errors import UserError


@contextlib.contextmanager
def workplace(output: Path) -> Iterator[Path]:
    """Yields an empty folder `OUTPUT.partial` that no other build uses meanwhile.

    What a killed build left there is removed first; the lock dies with its process.

    Raises:
        UserError: another build holds the folder, or the disk is full.
    """
    folder = output.with_name(output.name + ".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made ({error.strerror}); choose another --output"
        ) from error
    try:
        _take(lock, folder)
        with _cleared(folder):
            yield folder
    finally:
        os.close(lock)


def publish(finished: Path, output: Path) -> None:
    """Moves a finished folder to `output` in one step.

    Raises:
        UserError: `output` came to hold something in the meantime.
    """
    try:
        finished.rename(output)
    except OSError as error:
        raise UserError(
            f"{output}: cannot be created ({error.strerror}); choose another --output"
        ) from error


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The previous holder may have removed the folder before letting go of it.
        if os.fstat(lock).st_ino == folder.stat().st_ino:
            return
    except (BlockingIOError, FileNotFoundError):
        pass
    raise UserError(
        f"{folder}: another build is writing this corpus; wait for it or choose "
        "another --output"
    )


@contextlib.contextmanager
def _cleared(folder: Path) -> Iterator[None]:
    """Empties `folder` before, removes it after, whatever happens in between."""
    _empty(folder)
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"{folder}: no space left on the disk; unpacked text, token rows and "
            "shards have to fit beside the output, free some space or move it"
        ) from error
    finally:
        shutil.rmtree(folder)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
