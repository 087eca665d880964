"""Who writes in a folder of object storage: an object that its writer keeps renewing.

There are no locks there that die with their process. So the writer holds
`process.json` and writes it anew every `RENEWAL_SECONDS`, each time only over the
version that it wrote itself. Whoever comes and sees that it was not written for
`LEASE_SECONDS`, by the clock of the storage, takes it; of two that do, one succeeds. A
writer that could not renew it for `GIVE_UP_SECONDS`, by its own stopwatch, or finds
another's, writes no more: it stops before anybody may take over, whatever the clocks of
the machines say.

After a kill on the same machine nobody waits: a lock of this machine, which died with
the process, stands beside the name that the lease was taken under.
"""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from amber_jax.errors import StorageError, UserError
from amber_jax.files import parse_json
from amber_jax.storage import scratch

LEASE_SECONDS = 150.0
GIVE_UP_SECONDS = 100.0
RENEWAL_SECONDS = 20.0
_KIND = "gs://"  # of storage in which a write can compare versions
_WATCHES = 10  # looks at the lease of another, in the time of a renewal

Check = Callable[[], None]
"""Raises UserError if another process may write in the folder by now."""


@contextlib.contextmanager
def leased(path: Path, note: Callable[[str], None]) -> Iterator[Check]:
    """Holds the lease of the folder that `path` is in, and gives what checks that.

    Args:
        path: of the lease, in object storage.
        note: called with a sentence if another process's has to run out first.

    Raises:
        UserError: another process holds it and renews it, or there are no leases in
            storage of that kind.
    """
    if not str(path).startswith(_KIND):
        raise UserError(
            f"{path.parent} cannot keep a run, of which it must know the one writer; "
            f"wanted a --workdir of this machine, or {_KIND}BUCKET/NAME"
        )
    local = scratch(path)
    with local.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.seek(0)
            taken_here = file.read()
        except BlockingIOError as error:
            raise _in_use(path, _holder(path)) from error
        except OSError:  # as of network file systems without locks
            taken_here = ""
        lease = _Lease(path, taken_here, note)
        file.truncate(0)
        file.write(lease.name)
        file.flush()
        try:
            yield lease.check
        finally:
            lease.end()


class _Lease:
    """An object that nobody but this process writes, as long as `check` passes."""

    def __init__(self, path: Any, taken_here: str, note: Callable[[str], None]) -> None:
        self._path = path
        self.name = secrets.token_hex(8)
        holder = {"host": socket.gethostname(), "process": os.getpid()}
        self._content = json.dumps({**holder, "lease": self.name}).encode()
        self._lost = ""
        self._owner: dict[str, Any] = {}  # as far as it was seen
        self._take(taken_here, note)
        self._owner = holder | {"lease": self.name}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises UserError if the lease is lost, or may be."""
        age = time.monotonic() - self._renewed
        if not self._lost and age > GIVE_UP_SECONDS:
            self._lost = f"it could not be renewed for {age:.0f} seconds"
        if self._lost:
            raise StorageError(
                *(self._path.parent, "written", f"{self._path.name}: {self._lost}"),
                "this run writes nothing more there: start the command again, it "
                "resumes",
                passes=self._owner.get("lease") == self.name,
            )

    def end(self) -> None:
        """Lets others have it."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(OSError):  # then it runs out
            self._path.remove_version(self._version)

    def _take(self, taken_here: str, note: Callable[[str], None]) -> None:
        while True:
            version = self._free_version(taken_here, note)
            began = time.monotonic()
            try:
                self._version = self._path.replace_version(self._content, version)
            except FileExistsError:  # another was quicker, or this very request was
                if not self._is_ours():
                    continue
            self._renewed = began
            return

    def _free_version(self, taken_here: str, note: Callable[[str], None]) -> str:
        """Returns the version of a lease that has run out, when it has; "0" of none."""
        seen = self._path.seen()
        if seen is None:
            return "0"
        first, holder = seen.info.version, _holder(self._path)
        here = holder.get("host") == socket.gethostname()
        if here and taken_here and holder.get("lease") == taken_here:
            return first
        announced = False
        while seen is not None and seen.info.version == first:
            age = seen.now - seen.info.updated
            if age > LEASE_SECONDS:
                return first
            if not announced:
                announced = True
                left = LEASE_SECONDS - age
                note(
                    f"{self._path.parent} was in use by {_name(holder)} "
                    f"{max(age, 0):.0f} seconds ago; waiting for {left:.0f} seconds, "
                    "in case it is gone"
                )
            time.sleep(RENEWAL_SECONDS / _WATCHES)
            seen = self._path.seen()
        if seen is None:
            return "0"
        raise _in_use(self._path, holder)

    def _keep(self) -> None:
        while not self._ended.wait(RENEWAL_SECONDS):
            began = time.monotonic()
            with contextlib.suppress(StorageError):  # `check` sets the bound
                if not self._renew():
                    who = _name(self._owner)
                    self._lost = f"{who} has taken it" if self._owner else "it is gone"
                    return
                self._renewed = began

    def _renew(self) -> bool:
        """Returns whether the object is still ours, and was written anew."""
        try:
            self._version = self._path.replace_version(self._content, self._version)
        except FileExistsError:
            return self._is_ours()
        return True

    def _is_ours(self) -> bool:
        """Returns whether the object has our name; its version is then the lease's.

        A request that is repeated, because its answer was lost, finds what it did.
        """
        seen, self._owner = self._path.seen(), _holder(self._path)
        if seen is None or self._owner.get("lease") != self.name:
            return False
        self._version = seen.info.version
        return True


def _holder(path: Path) -> dict[str, Any]:
    """Returns what the process that holds a lease says of itself; {} if nothing."""
    try:
        holder = parse_json(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _name(holder: dict[str, Any]) -> str:
    if not {"process", "host"} <= holder.keys():
        return "another process"
    return f"process {holder['process']} on {holder['host']}"


def _in_use(path: Path, holder: dict[str, Any]) -> UserError:
    return UserError(
        f"{path.parent} is in use by {_name(holder)}; wait for its end, or give "
        "another --workdir"
    )
