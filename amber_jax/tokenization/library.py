"""Tokenizers of Hugging Face's `tokenizers`, tokenizer.json kept byte for byte."""

import dataclasses
import functools
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer as RustTokenizer

from amber_jax.errors import UserError
from amber_jax.tokenization.library_file import (
    INTACT,
    LIBRARY_FILE,
    Fields,
    LibraryFile,
    added_tokens,
    parsed,
    read_bytes,
)
from amber_jax.tokenization.spelling import spelling_of
from amber_jax.tokenization.subset import indispensable, library_subset
from amber_jax.tokenization.tokenizer import (
    SpecialTokens,
    fingerprint_of,
    is_punctuation,
    well_formed,
    write_config,
)

KIND = "library"
_RARE = "\U0010fffd"  # a character that no vocabulary has


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
        self._content, self._origin = file.content, file.origin
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

    def indispensable(self) -> set[int]:
        """Returns added tokens, single bytes, and a piece of the lowest score.

        Raises:
            UserError: the tokenizer is no WordPiece or unigram one.
        """
        return indispensable(parsed(self._content, self._origin))

    def subset(self, ids: Sequence[int]) -> "JsonTokenizer":
        """Returns the tokenizer of the pieces `ids`, see `tokenizer.Tokenizer`."""
        new = {old: number for number, old in enumerate(ids)}
        roles = (new[i] for i in self.special.ids())
        special = SpecialTokens(*roles, separators=self.special.separators)
        file = parsed(self._content, self._origin)
        return JsonTokenizer(library_subset(file, ids), special)

    @functools.cached_property
    def _starts(self) -> np.ndarray:
        """[vocab_size] bool: pieces that begin a word wherever they stand."""
        flags = np.array([*map(self._spelling.starts_word, self._pieces)], dtype=bool)
        flags[list(self.special.ids())] = True
        return flags

    def save(self, directory: Path) -> None:
        """Writes tokenizer.json and our `tokenizer_config.json` into `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / LIBRARY_FILE).write_bytes(self._content)
        write_config(directory, KIND, self, special=dataclasses.asdict(self.special))


def load(path: Path, special: SpecialTokens) -> JsonTokenizer:
    """Returns the tokenizer of a tokenizer.json.

    Raises:
        UserError: missing or damaged.
    """
    return JsonTokenizer(parsed(read_bytes(path), str(path)), special)


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
            f"{file.origin}: the tokenizers library cannot use it ({error}); {INTACT}"
        ) from error
    added = {
        names.get(t["content"], t["content"]): t["id"]
        for t in added_tokens(file.fields)
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
        for token in added_tokens(fields)
    ]
    around = dict.fromkeys(("truncation", "padding", "post_processor"))
    changed = {"added_tokens": added, "model": {**model, "vocab": vocabulary}}
    return {**fields, **around, **changed}
