"""JSON read as the types that a dataclass gives its fields."""

import dataclasses
import math
import types
from collections.abc import Callable
from typing import Any, NewType, get_args, get_origin, get_type_hints

Share = NewType("Share", float)  # in [0, 1]
Size = NewType("Size", int)  # at least 1; a plain int is at least 0
_Scalar = Callable[[Any, str], Any]


def read_as(kind: Any, value: Any, where: str) -> Any:
    """Returns `value`, parsed JSON, as the type `kind`; text is made one line.

    Keys are not changed: two of them could become one.

    Args:
        kind: a dataclass, dict, tuple, or scalar type; a field with a default may be
            missing, and what is no field is passed over.
        value: what a file holds.
        where: what it is, for the message of an error.

    Raises:
        KeyError: a field is missing.
        ValueError: it is of another type, a number is out of range, or a key is not on
            one line.
    """
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, _of_type(value, dict, where, "an object"))
    inner = get_args(kind)
    if get_origin(kind) is dict:
        items = _of_type(value, dict, where, "an object").items()
        return {
            _key(inner[0], key, where): read_as(inner[1], item, f"{where} of {key}")
            for key, item in items
        }
    if get_origin(kind) is tuple:
        items = _of_type(value, list, where, "a list")
        return tuple(read_as(inner[0], item, where) for item in items)
    if isinstance(kind, types.UnionType):  # of something and None
        return None if value is None else read_as(inner[0], value, where)
    return _SCALARS[kind](value, where)


def _key(kind: Any, key: str, where: str) -> Any:
    if one_line(key) != key:
        raise ValueError(f"{where}: {key!r} is not on one line")
    return int(key) if kind is int else key


def _read_fields(kind: type, content: dict[str, Any]) -> Any:
    types_of, missing = get_type_hints(kind), dataclasses.MISSING
    return kind(
        **{
            field.name: read_as(types_of[field.name], content[field.name], field.name)
            for field in dataclasses.fields(kind)
            if field.name in content
            or (field.default is missing and field.default_factory is missing)
        }
    )


def one_line(text: str) -> str:
    """Returns `text` on one line, without letters that cannot be printed."""
    words = " ".join(text.split())
    return "".join(letter for letter in words if letter.isprintable())


def _of_type(value: Any, kind: Any, where: str, words: str) -> Any:
    # To Python, true and false are numbers.
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise ValueError(f"{where}: wanted {words}, found {value!r}")
    return value


def _number(kind: Any, words: str, least: int, most: float = math.inf) -> _Scalar:
    def read(value: Any, where: str) -> Any:
        number = _of_type(value, kind, where, words)
        if not least <= number <= most:  # NaN too
            raise ValueError(f"{where}: wanted {words}, found {value!r}")
        return number

    return read


_SCALARS: dict[Any, _Scalar] = {
    str: lambda value, where: one_line(_of_type(value, str, where, "text")),
    bool: lambda value, where: _of_type(value, bool, where, "true or false"),
    int: _number(int, "a whole number from 0 on", 0),
    Size: _number(int, "a whole number from 1 on", 1),
    float: _number(int | float, "a number from 0 on", 0),
    Share: _number(int | float, "a share between 0 and 1", 0, 1),
}
