"""Tokenizers of Hugging Face's `tokenizers`, tokenizer.json kept byte for byte."""

import dataclasses
import functools
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer as RustTokenizer

from amber_jax.errors import UserError
from amber_jax.tokenization.spelling import spelling_of
from amber_jax.tokenization.tokenizer import (
    SpecialTokens,
    fingerprint_of,
    is_punctuation,
    well_formed,
    write_config,
)

KIND = "library"
LIBRARY_FILE = "tokenizer.json"
_INTACT = "use an intact copy"
_RARE = "\U0010fffd"  # a character that no vocabulary has

Fields = Mapping[str, Any]
"""The content of a tokenizer.json."""


class LibraryFile(NamedTuple):
    """A tokenizer.json."""

    content: bytes
    fields: Fields
    pieces: list[str]  # by id, added tokens among them
    origin: str  # names it in errors


class JsonTokenizer:
    """A tokenizer.json as it is, see `tokenizer.Tokenizer`.

    Text is split as the library splits it, but for one thing: the names of pad, cls,
    sep and mask in a text are words like others, and never those pieces. Where words
    begin is read off the pieces: at U+2581, at BERT's pieces without "##", at a space
    in byte-level pieces, and at the first piece of all.
    """

    def __init__(self, file: LibraryFile, special: SpecialTokens):
        """Takes a tokenizer.json and its roles.

        Raises:
            UserError: it is damaged, or its text could spell a special piece.
        """
        self._content = file.content
        self._pieces = file.pieces
        self._spelling = spelling_of(file.fields)
        self.special = special
        self.vocab_size = len(self._pieces)
        options = {"kind": KIND, "special": dataclasses.asdict(special)}
        self.fingerprint = fingerprint_of(file.content, options)
        self._library = _rust_tokenizer(file, special)

    def encode(self, text: str) -> list[int]:
        """Returns the ids of any `str`, without special tokens around them."""
        return self._library.encode(well_formed(text), add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns `encode` of each text, in one library call."""
        encodings = self._library.encode_batch_fast(
            [well_formed(text) for text in texts], add_special_tokens=False
        )
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of `ids`; special tokens are skipped."""
        special = self.special.ids()
        kept = [int(i) for i in ids if i not in special]
        return self._library.decode(kept, skip_special_tokens=False)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Returns the pieces as they are written in the vocabulary."""
        return [self._pieces[i] for i in ids]

    def word_starts(self, ids: Sequence[int]) -> list[bool]:
        """Returns True where the piece begins a word; special tokens are words."""
        return [n == 0 or bool(self._starts[i]) for n, i in enumerate(ids)]

    def punctuation(self) -> np.ndarray:
        """Returns [vocab_size] bool: pieces of nothing but punctuation, symbols."""
        surfaces = map(self._spelling.surface, self._pieces)
        flags = np.array([is_punctuation(surface) for surface in surfaces], dtype=bool)
        flags[list(self.special.ids())] = False
        return flags

    @functools.cached_property
    def _starts(self) -> np.ndarray:
        """[vocab_size] bool: pieces that begin a word wherever they stand."""
        flags = np.array([*map(self._spelling.starts_word, self._pieces)], dtype=bool)
        flags[list(self.special.ids())] = True
        return flags

    def save(self, directory: Path) -> None:
        """Writes tokenizer.json and our `tokenizer_config.json` into `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        self.write_library_file(directory)
        write_config(directory, KIND, self, special=dataclasses.asdict(self.special))

    def write_library_file(self, directory: Path) -> None:
        """Writes tokenizer.json alone, byte for byte as it came."""
        (directory / LIBRARY_FILE).write_bytes(self._content)


def load(path: Path, special: SpecialTokens) -> JsonTokenizer:
    """Returns the tokenizer of a tokenizer.json.

    Raises:
        UserError: missing or damaged.
    """
    return JsonTokenizer(parsed(read_bytes(path), str(path)), special)


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
        raise UserError(f"{origin}: is no JSON ({error}); {_INTACT}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("model"), dict):
        raise UserError(f"{origin}: holds no tokenizer's model; {_INTACT}")
    return LibraryFile(content, fields, _pieces(fields, origin), origin)


def _pieces(fields: Fields, origin: str) -> list[str]:
    """Returns the pieces by id, of the model's vocabulary and the added tokens."""
    try:
        vocabulary = _vocabulary(fields)
        added = {token["content"]: token["id"] for token in _added(fields)}
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
            f"one piece; {_INTACT}"
        )
    return pieces


def _vocabulary(fields: Fields) -> dict[str, int]:
    """Returns {piece: id} of the model, whose vocabulary is an object or a list."""
    vocabulary = fields["model"]["vocab"]
    if isinstance(vocabulary, dict):
        return dict(vocabulary)
    return {piece: number for number, (piece, _) in enumerate(vocabulary)}


def _added(fields: Fields) -> list[dict[str, Any]]:
    return fields.get("added_tokens") or []


def _rust_tokenizer(file: LibraryFile, special: SpecialTokens) -> RustTokenizer:
    """Returns the library's tokenizer, which no text makes give a special piece."""
    hidden = {special.pad, special.cls, special.sep, special.mask}
    # Words hold no space, so no word is one of these. Only their ids matter.
    names = {file.pieces[i]: f"{file.pieces[i]} " for i in hidden}
    try:
        fields = _renamed(file.fields, names, hidden)
        library = RustTokenizer.from_str(json.dumps(fields, ensure_ascii=False))
        library.encode_special_tokens = True  # do not look for them in text
        texts = [*names, *names.values(), _RARE]
        spelt = {i for text in texts for i in library.encode(text).ids} & hidden
    except Exception as error:  # the library raises no other class
        raise UserError(
            f"{file.origin}: the tokenizers library cannot use it ({error}); {_INTACT}"
        ) from error
    added = {
        names.get(t["content"], t["content"]): t["id"] for t in _added(file.fields)
    }
    moved = any(library.token_to_id(name) != i for name, i in added.items())
    if spelt or moved:
        raise UserError(
            f"{file.origin}: text can spell its special pieces, or its added tokens "
            "have other ids in the library; such a tokenizer is not read"
        )
    return library


def _renamed(
    fields: Fields, names: Mapping[str, str], hidden: Collection[int]
) -> dict[str, Any]:
    """Returns the fields with pieces of other names, and nothing put around text."""
    model, vocabulary = fields["model"], fields["model"]["vocab"]
    if isinstance(vocabulary, dict):
        vocabulary = {names.get(name, name): i for name, i in vocabulary.items()}
    else:
        vocabulary = [[names.get(entry[0], entry[0]), entry[1]] for entry in vocabulary]
    # Special tokens are passed over, other added ones are searched for in text.
    added = [
        {
            **token,
            "content": names.get(token["content"], token["content"]),
            "special": token["id"] in hidden,
        }
        for token in _added(fields)
    ]
    around = dict.fromkeys(("truncation", "padding", "post_processor"))
    changed = {"added_tokens": added, "model": {**model, "vocab": vocabulary}}
    return {**fields, **around, **changed}
