"""A tokenizer.json as a file: its bytes, its fields, its pieces."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from amber_jax.errors import UserError

LIBRARY_FILE = "tokenizer.json"
INTACT = "use an intact copy"

Fields = Mapping[str, Any]
"""The content of a tokenizer.json."""


class LibraryFile(NamedTuple):
    """A tokenizer.json."""

    content: bytes
    fields: Fields
    pieces: list[str]  # by id, added tokens among them
    origin: str  # names it in errors


def read_bytes(path: Path) -> bytes:
    """Returns a vocabulary file's bytes; raises UserError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); give a folder with its "
            f"{path.name}"
        ) from error


def parsed(content: bytes, origin: str) -> LibraryFile:
    """Returns a tokenizer.json, given as its bytes; `origin` names it in errors.

    Raises:
        UserError: it is no JSON, holds no tokenizer's model, or the ids are not 0, 1, 2
            and so on, each of one piece.
    """
    try:
        fields = json.loads(content)
    except ValueError as error:
        raise UserError(f"{origin}: is no JSON ({error}); {INTACT}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("model"), dict):
        raise UserError(f"{origin}: holds no tokenizer's model; {INTACT}")
    return LibraryFile(content, fields, _pieces(fields, origin), origin)


def _pieces(fields: Fields, origin: str) -> list[str]:
    """Returns the pieces by id, of the model's vocabulary and the added tokens."""
    try:
        vocabulary = _vocabulary(fields)
        added = {token["content"]: token["id"] for token in added_tokens(fields)}
        both = vocabulary | added
        pieces = sorted(both, key=both.__getitem__)
        proper = [both[piece] for piece in pieces] == list(range(len(pieces)))
        proper &= all(vocabulary.get(piece, i) == i for piece, i in added.items())
        proper &= all(isinstance(piece, str) for piece in pieces)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        proper, pieces = False, []
    if not proper or not pieces:
        raise UserError(
            f"{origin}: the ids of its vocabulary are not 0, 1, 2 and so on, each of "
            f"one piece; {INTACT}"
        )
    return pieces


def _vocabulary(fields: Fields) -> dict[str, int]:
    """Returns {piece: id} of the model, whose vocabulary is an object or a list."""
    vocabulary = fields["model"]["vocab"]
    if isinstance(vocabulary, dict):
        return dict(vocabulary)
    return {piece: number for number, (piece, _) in enumerate(vocabulary)}


def added_tokens(fields: Fields) -> list[dict[str, Any]]:
    """Returns the tokens that text is searched for, or that are special."""
    return fields.get("added_tokens") or []
