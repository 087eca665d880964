"""An installation, examined: versions, devices, speed, folders, extras."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

from amber_jax.errors import UserError
from amber_jax.files import failure
from amber_jax.storage import is_remote
from amber_jax.training.peak import matrix_rate
from amber_jax.training.workdir import versions

# What of each extra is imported first, as setup.py names them.
EXTRAS = {
    "train": ("tensorflow", "tensorflow_datasets"),
    "corpora": ("py3langid", "pyarrow", "rensa", "zstandard"),
    "report": ("jinja2", "matplotlib"),
    "faiss": ("faiss",),
    "gcs": ("gcsfs",),
    "hf": ("torch",),
    "tpu": ("libtpu",),
}
_PRODUCT = ("bfloat16", 8192)  # dtype and width of what tells a device's rate
_PRODUCTS = {"cpu": ("float32", 1024)}  # of those that others suit
_CACHE = "JAX_COMPILATION_CACHE_DIR"


def examine(folder: Path, note: Callable[[str], None] = print) -> None:
    """Says what an installation is, part by part.

    Args:
        folder: in which runs are to be written.
        note: called with the lines.

    Raises:
        UserError: something without which nothing can be trained is amiss.
    """
    for line in (*_software(), *_extras()):
        note(line)
    for line in _devices():
        note(line)
    cache = os.environ.get(_CACHE, "")
    note(f"compiled programs are kept in {cache}" if cache else "no program is kept")
    problem = _writable(folder)
    if problem is not None:
        raise UserError(
            f"{folder} cannot be written ({problem}); give --workdir=DIR of a folder "
            "that can"
        )
    if is_remote(folder):
        note(f"{folder} can be read and written")
    else:
        free = shutil.disk_usage(folder).free / 1e9
        note(f"{folder} can be written; {free:,.1f} GB are free")
    note("nothing is amiss")


def _software() -> Iterator[str]:
    yield f"Python {platform.python_version()} on {platform.platform()}"
    yield ", ".join(f"{name} {version}" for name, version in versions().items())


def _extras() -> Iterator[str]:
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if missing:
            yield (
                f"extra {extra} is not there (no {', '.join(missing)}): "
                f"pip install 'amber_jax[{extra}]' where it is needed"
            )
        else:
            yield f"extra {extra} is there"


def _devices() -> Iterator[str]:
    try:
        devices = jax.local_devices()
    except RuntimeError as error:
        raise UserError(
            f"JAX finds no device to run on ({failure(error)}); mend the driver, or "
            "set JAX_PLATFORMS=cpu"
        ) from error
    kinds = sorted({device.device_kind for device in devices})
    yield f"{len(devices)} devices of {jax.device_count()} in all: {', '.join(kinds)}"
    device = devices[0]
    dtype, width = _PRODUCTS.get(device.platform, _PRODUCT)
    rate = matrix_rate(dtype, width=width)
    memory = (device.memory_stats() or {}).get("bytes_limit")
    yield (
        f"{device}: {rate / 1e12:.3g} TFLOP/s in {dtype} products of {width:,}"
        + (f", {memory / 1e9:.1f} GB of memory" if memory else "")
    )


def _writable(folder: Path) -> str | None:
    """Why nothing can be written to a folder, or None."""
    probe = folder / f".amber-doctor-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"written\n")
        probe.read_bytes()
        probe.unlink()
    except UserError:  # of its storage
        raise
    except OSError as error:
        return failure(error)
    return None
