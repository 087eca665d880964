"""JSON files of other formats, read without trusting them."""

from pathlib import Path
from typing import Any

from amber_jax import files
from amber_jax.errors import UserError

_WANTED = "wanted the folder of a whole model, in an intact copy"


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file; raises as `files.read_json`."""
    return files.read_json(path, _WANTED)


def read_object(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file; raises as `files.read_object`."""
    return files.read_object(path, _WANTED)


def read_optional(path: Path) -> dict[str, Any]:
    """Returns `read_object(path)`, or {} if there is no such file."""
    return read_object(path) if path.is_file() else {}


def inside(folder: Path, name: object, *, origin: Path) -> Path:
    """Returns the file of that name in `folder`.

    Args:
        folder: where it must lie.
        name: as an untrusted file says it.
        origin: that file.

    Raises:
        UserError: the name leads elsewhere.
    """
    plain = isinstance(name, str) and name not in ("", ".", "..")
    if not plain or any(sign in name for sign in ("/", "\\", "\0")):
        raise UserError(
            f"{origin}: names the file {name!r}, which is no file beside it; "
            "such a folder is not read"
        )
    return folder / name
