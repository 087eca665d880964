"""What a setting may hold, declared once in a table and checked in one place.

A table mirrors the settings it is about. An entry is a `Range` of numbers, a `Choice`
of words, `str`, `str | None` or `bool`; another table for a group of settings; or a
list of one entry, for a sequence whose items are all like it.
"""

import dataclasses
import math
import numbers
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from amber_jax.errors import UserError

INT32_MAX = 2**31 - 1
_WANTED = {str: "text", str | None: "text or None", bool: "True or False"}


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers between two ends, which belong to it unless they are left out."""

    low: float
    high: float
    whole: bool
    without_low: bool = False
    without_high: bool = False
    or_none: bool = False  # None, which leaves the choice, is in it too

    def holds(self, value: Any) -> bool:
        """Returns whether `value` is a number in the range; NaN never is."""
        if value is None:
            return self.or_none
        kind = numbers.Integral if self.whole else numbers.Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        above = self.low < value if self.without_low else self.low <= value
        below = value < self.high if self.without_high else value <= self.high
        return above and below

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        kind = f"None or {kind}" if self.or_none else kind
        low, high = _number(self.low), _number(self.high)
        if not self.without_low and not self.without_high:
            return f"{kind} from {low} to {high}"
        above = "above" if self.without_low else "at least"
        below = "below" if self.without_high else "at most"
        return f"{kind} {above} {low} and {below} {high}"


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        """Returns whether `value` is one of the words."""
        return isinstance(value, str) and value in self.words

    def __str__(self) -> str:
        return f"one of {', '.join(word or 'nothing at all' for word in self.words)}"


def whole(low: int, high: int = INT32_MAX) -> Range:
    """Returns the whole numbers from `low` to `high`, both included."""
    return Range(low, high, whole=True)


def real(
    low: float, high: float, *, without_low: bool = False, without_high: bool = False
) -> Range:
    """Returns the numbers from `low` to `high`, with or without these themselves."""
    return Range(low, high, False, without_low, without_high)


SEED = whole(0, 2**32 - 1)  # of a larger one JAX would take the lowest 32 bits
PROBABILITY = real(0, 1, without_high=True)
DTYPES = Choice(("float32", "bfloat16"))  # of activations
LAYER = whole(-1)  # -1: the last; the model's own depth bounds it, too


def problems(value: Any, allowed: Any, name: str = "") -> Iterator[str]:
    """Yields what is wrong with settings, each by its name as a flag has it.

    Settings without an entry are not looked at.

    Args:
        value: the settings, a mapping; or one of them.
        allowed: their table, or the entry.
        name: of `value`; empty for all settings together.
    """
    if isinstance(allowed, Mapping):
        if not hasattr(value, "keys"):
            yield f"{name} is {_shown(value)}, not a group of settings"
            return
        for key, entry in allowed.items():
            full_name = f"{name}.{key}" if name else key
            if key in value:
                yield from problems(value[key], entry, full_name)
            else:
                yield f"{full_name} is missing"
    elif isinstance(allowed, list):
        if not isinstance(value, list | tuple):
            yield f"{name} is {_shown(value)}, not a sequence"
            return
        for index, item in enumerate(value):
            yield from problems(item, allowed[0], f"{name}[{index}]")
    elif isinstance(allowed, type | types.UnionType):
        if not isinstance(value, allowed):
            wanted = _WANTED[allowed]
            yield f"{name} is {_shown(value)}, not {wanted}"
    elif not allowed.holds(value):
        yield f"{name} is {_shown(value)}, not {allowed}"


def refuse(what: str, mistakes: Iterable[str]) -> None:
    """Raises UserError with all problems of `what`, if there are any."""
    if sentences := "; ".join(mistakes):
        raise UserError(f"{what}: {sentences}")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _shown(value: Any) -> str:
    # Python itself refuses to print whole numbers of thousands of digits.
    if isinstance(value, int) and abs(value) >= 2**64:
        sign = "-" if value < 0 else ""
        return f"about {sign}2^{int(math.log2(abs(value)))}"
    return repr(value)
