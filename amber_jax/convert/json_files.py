"""JSON files of other formats, read without trusting them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amber_jax.errors import UserError

_MAX_BYTES = 1 << 28  # a tokenizer.json of a million entries has a tenth of it


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file.

    Raises:
        UserError: missing, unreadable or not JSON.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{path.parent}: has no {path.name}; wanted the folder of a whole model"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: is not a readable JSON file ({reason}); use an intact copy"
        ) from error


def read_object(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file; raises as `read_json`, or if it is none."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not a JSON object; use an intact copy")
    return content


def read_optional(path: Path) -> dict[str, Any]:
    """Returns `read_object(path)`, or {} if there is no such file."""
    return read_object(path) if path.is_file() else {}


def write_json(path: Path, content: Mapping[str, Any] | list[Any]) -> None:
    """Writes a JSON file as people read it."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, "utf-8")


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
