"""Memory that XLA frees on the CPU is kept, not given back to the system.

XLA asks for the same large blocks again every step, and glibc gives large blocks back
at once, so every step would wait for the system to clear their pages anew.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import sys

# Source: glibc's malloc.h; the numbers are part of its interface.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = -1
_kept = False  # whether this process was told to keep what it frees


def keep_freed_memory() -> bool:
    """Makes glibc keep what is freed, if JAX will run on the CPU.

    To be called before JAX starts its threads, which choose their arenas then. Left
    alone are machines where JAX may find an accelerator, other systems and C
    libraries, and a process in whose environment malloc is set already.

    Returns:
        Whether the settings were made.
    """
    chosen = any(name.startswith("MALLOC_") for name in os.environ)
    if chosen or sys.platform != "linux" or not _only_cpu():
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_ARENA_MAX, 1))
    global _kept
    _kept = [mallopt(name, value) for name, value in settings] == [1, 1, 1]
    return _kept


def give_back_unused() -> None:
    """Gives the system what `keep_freed_memory` has kept; it keeps what comes later.

    For the moment between compiling and the first step: what the compiler took lies
    in pieces that are too small for what a step asks for.
    """
    if _kept:
        ctypes.CDLL(None).malloc_trim(0)


def _only_cpu() -> bool:
    """Returns whether JAX was told to use the CPU, or has no plugin for another."""
    if os.environ.get("JAX_PLATFORMS"):
        return os.environ["JAX_PLATFORMS"] == "cpu"
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    packages = ("jax_plugins", "libtpu")
    return not plugins and not any(map(importlib.util.find_spec, packages))
