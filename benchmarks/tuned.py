"""What an expert sets around PyTorch or TensorFlow on a CPU, outside of the program."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from amber_jax.errors import UserError

# Intel's MKL asks this function whether it may take its fast paths.
_SHIM = """\
int mkl_serv_intel_cpu_true(void) {
    return 1;
}
"""
_LIBRARY_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib")
_ALLOCATORS = ("libtcmalloc_minimal.so*", "libtcmalloc.so*", "libjemalloc.so*")
# The nearest that glibc's own allocator comes to them.
_KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_ARENA_MAX": "1",
}
_SET_BY_OTHERS = ("LD_PRELOAD", "GLIBC_TUNABLES", "TF_ENABLE_ONEDNN_OPTS")


def plain(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns `environment` without what tunes, slows or preloads.

    So that every program starts as its users start it, whatever the shell or the
    command that runs it has set for itself.
    """
    return {
        name: value
        for name, value in environment.items()
        if name not in _SET_BY_OTHERS and not name.startswith("MALLOC_")
    }


def find_allocator() -> Path | None:
    """Returns an installed tcmalloc or jemalloc, or None."""
    listed = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    folders = [Path(name) for name in (*listed, *_LIBRARY_FOLDERS) if name]
    for pattern in _ALLOCATORS:
        for folder in folders:
            libraries = sorted([*folder.glob(pattern), *folder.glob(f"*/{pattern}")])
            if libraries:
                return libraries[0]
    return None


def allocator_settings(allocator: Path | None) -> dict[str, str]:
    """Returns the variables that make a program keep its memory."""
    return {"LD_PRELOAD": str(allocator)} if allocator else dict(_KEEP_MEMORY)


def mkl_settings(folder: Path, allocator: Path | None) -> dict[str, str]:
    """Returns the same, and MKL told that this is Intel's chip.

    Args:
        folder: where the library for it is written and compiled.
        allocator: see `find_allocator`.

    Raises:
        UserError: there is no C compiler.
    """
    if not shutil.which("cc"):
        raise UserError(
            "tuned peers need the C compiler cc, which is not installed; install it or "
            "leave them out with --notuned"
        )
    source, library = folder / "intel.c", folder / "intel.so"
    source.write_text(_SHIM, "utf-8")
    command = ["cc", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    settings = allocator_settings(allocator)
    preloaded = [str(library), *([str(allocator)] if allocator else [])]
    return settings | {"LD_PRELOAD": ":".join(preloaded)}
