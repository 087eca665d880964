"""How glibc hands out memory while a model runs on the CPU, and how much is in use.

XLA takes all of a step's intermediate results as one block and frees it after the
step. glibc gives a block of that size back to the system, which then clears it anew
in pages of 4 kB: up to a quarter of a small step. Blocks that are kept in the heap
cost nothing, but the heap breaks up: whatever is allocated in the gap that a step
leaves makes the next step's block grow the heap by all of its size. So large blocks
do go back, and come in huge pages, which are cleared several times as fast; small
ones are kept.
"""

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import mmap
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

# Source: "Memory Allocation Tunables" in glibc's manual, and mallopt(3). They are read
# when a program starts, and there is no other way to huge pages.
_TUNABLES = "GLIBC_TUNABLES"
_MALLOC = {
    "hugetlb": 1,  # ask for huge pages; needs glibc 2.35, ignored before
    "mmap_threshold": 32 << 20,  # bytes of what goes back at once; the most allowed
    "trim_threshold": 256 << 20,  # bytes kept at the end of the heap
    "arena_max": 1,  # what one thread freed is another's
}
# Source: proc_pid_clear_refs(5): 5 sets the peak to what is resident.
_FORGET_PEAK = Path("/proc/self/clear_refs")
_MAPPED = Path("/proc/self/maps")


def start_with_huge_pages() -> None:
    """Starts this program anew with glibc's malloc set, if JAX will run on the CPU.

    To be called before anything is done that cannot be done twice. Left alone are
    machines where JAX may find an accelerator, other systems and C libraries, a
    process in whose environment malloc is set already, by this function too, and one
    whose program is not a file.
    """
    given = os.environ.get(_TUNABLES, "")
    chosen = "glibc.malloc." in given or any(
        name.startswith("MALLOC_") for name in os.environ
    )
    if chosen or not _is_glibc() or not _only_cpu() or not Path(sys.argv[0]).is_file():
        return
    wanted = [f"glibc.malloc.{name}={value}" for name, value in _MALLOC.items()]
    os.environ[_TUNABLES] = ":".join([*([given] if given else []), *wanted])
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def give_back_unused() -> None:
    """Gives the system the pages of the heap that nothing uses, where glibc is used.

    For the moment after compiling, an evaluation or a checkpoint: what those took lies
    in pieces that are too small for what a step asks for.
    """
    if _is_glibc():
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        for first, end in _anonymous_memory():
            # Or the kernel would in time make whole huge pages of what is left.
            libc.madvise(
                ctypes.c_void_p(first),
                ctypes.c_size_t(end - first),
                mmap.MADV_NOHUGEPAGE,
            )


def _anonymous_memory() -> Iterator[tuple[int, int]]:
    """Yields where this process's writable memory of no file begins and ends.

    Source: proc_pid_maps(5).
    """
    try:
        maps = _MAPPED.read_text(errors="replace")  # names of files may be any bytes
    except OSError:  # hidden in some containers
        return
    for line in maps.splitlines():
        span, mode, _, _, inode, *name = line.split()
        if (mode, inode) == ("rw-p", "0") and name in ([], ["[heap]"]):
            first, end = span.split("-")
            yield int(first, 16), int(end, 16)


def resident_bytes() -> int | None:
    """Returns the bytes of main memory that this process has; None if not on Linux."""
    return _status_bytes("VmRSS")


def peak_resident_bytes() -> int:
    """Returns the most bytes of main memory that this process had since the last call.

    A step's block comes and goes, so that what is resident at one moment says little.
    Where the system cannot start anew, as other than Linux, the most since the start.
    """
    peak = _status_bytes("VmHWM")
    if peak is None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak << 10  # BSD: KiB
    with contextlib.suppress(OSError):  # read-only in some containers
        _FORGET_PEAK.write_text("5")
    return peak


def _status_bytes(field: str) -> int | None:
    """Returns a size in /proc/self/status, which only Linux has.

    Source: proc_pid_status(5).
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) << 10  # kB
    except (OSError, IndexError):
        return None


def _is_glibc() -> bool:
    if sys.platform != "linux":
        return False
    return hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def _only_cpu() -> bool:
    """Returns whether JAX was told to use the CPU, or has no plugin for another."""
    if os.environ.get("JAX_PLATFORMS"):
        return os.environ["JAX_PLATFORMS"] == "cpu"
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    packages = ("jax_plugins", "libtpu")
    return not plugins and not any(map(importlib.util.find_spec, packages))
