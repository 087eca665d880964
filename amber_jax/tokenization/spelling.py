"""What the pieces of a tokenizer.json stand for: their text, and where words begin."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from amber_jax.tokenization.sentencepiece import WORD_START

_BYTE = re.compile("<0x([0-9A-F]{2})>")
_ASCII = 0x80


class Spelling(NamedTuple):
    """How pieces are written."""

    starts_word: Callable[[str], bool]  # of a piece
    surface: Callable[[str], str]  # a piece's text, without marks; "" of a part of one


def spelling_of(fields: Mapping[str, Any]) -> Spelling:
    """Returns how the pieces of a tokenizer.json, given as its fields, are written."""
    model = fields["model"]
    prefix = model.get("continuing_subword_prefix")
    if _is_byte_level(fields):
        return Spelling(_starts_with_space, _bytes_of_letters)
    if prefix:
        return Spelling(
            lambda piece: not piece.startswith(prefix),
            lambda piece: piece.removeprefix(prefix),
        )
    if model.get("byte_fallback"):
        return Spelling(_is_marked, _one_byte_or_text)
    return Spelling(_is_marked, _unmarked)


def _is_marked(piece: str) -> bool:
    return piece.startswith(WORD_START)


def _unmarked(piece: str) -> str:
    return piece.replace(WORD_START, "")


def _one_byte_or_text(piece: str) -> str:
    byte = _BYTE.fullmatch(piece)  # "<0x2C>" is a comma
    if not byte:
        return _unmarked(piece)
    value = int(byte[1], 16)
    return chr(value) if value < _ASCII else ""


def _is_byte_level(fields: Mapping[str, Any]) -> bool:
    parts = (fields.get("normalizer"), fields.get("pre_tokenizer"))
    return any(kind == "ByteLevel" for part in parts for kind in _types(part))


def _types(part: Any) -> Iterator[Any]:
    """Yields the types of a step and of the steps within it."""
    if isinstance(part, Mapping):
        yield part.get("type")
        for steps in (part.get("normalizers"), part.get("pretokenizers")):
            for step in steps or ():
                yield from _types(step)


def _starts_with_space(piece: str) -> bool:
    return _letters().get(piece[:1], ord("a")) in b" \t\r\n"


def _bytes_of_letters(piece: str) -> str:
    values = [_letters().get(letter) for letter in piece]
    if None in values:  # an added token, written as it is
        return piece.strip()
    return bytes(values).decode("utf-8", "ignore").strip()


@functools.cache
def _letters() -> dict[str, int]:
    """Returns the byte that each letter of byte-level pieces stands for.

    Source: `bytes_to_unicode` of openai/gpt-2: printable characters of Latin-1 stand
    for themselves, the other bytes for the characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {
        **{chr(byte): byte for byte in printable},
        **{chr(0x100 + number): byte for number, byte in enumerate(others)},
    }
