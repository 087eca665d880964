"""What every tokenizer can do, and what the kinds share."""

import dataclasses
import hashlib
import itertools
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONFIG_FILE = "tokenizer_config.json"

_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclasses.dataclass(frozen=True)
class SpecialTokens:
    """Ids of the five special pieces by role, and how they join the sides of a pair.

    BERT's are `[CLS] x [SEP] y [SEP]`, XLM-R's `<s> x </s></s> y </s>`: the ids may be
    any, and between the sides stand as many `sep` as `separators` says.
    """

    pad: int
    unk: int
    cls: int
    sep: int
    mask: int
    separators: int = 1

    def ids(self) -> tuple[int, ...]:
        """Returns the five ids: pad, unk, cls, sep, mask."""
        return self.pad, self.unk, self.cls, self.sep, self.mask

    def words(self, vocab_size: int) -> range:
        """Returns the longest run of ids, all below `vocab_size`, without a special."""
        bounds = [-1, *sorted(self.ids()), vocab_size]
        runs = [range(a + 1, b) for a, b in itertools.pairwise(bounds)]
        return max(runs, key=len)


class Tokenizer(Protocol):
    """Text to ids and back. Text never yields pad, cls, sep or mask."""

    special: SpecialTokens
    vocab_size: int
    fingerprint: str  # sha256 of content and options, wherever the files lie

    def encode(self, text: str) -> list[int]:
        """Returns the ids of any `str`, without special tokens around them."""
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns `encode` of each text, in one library call."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of `ids`; special tokens are skipped."""
        ...

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Returns the pieces as they are written in the vocabulary."""
        ...

    def word_starts(self, ids: Sequence[int]) -> list[bool]:
        """Returns True where the piece begins a word; special tokens are words."""
        ...

    def punctuation(self) -> np.ndarray:
        """Returns [vocab_size] bool: pieces of nothing but punctuation, symbols."""
        ...

    def indispensable(self) -> set[int]:
        """Returns the ids of ordinary pieces that every `subset` must have.

        Raises:
            UserError: its vocabulary cannot be cut.
        """
        ...

    def subset(self, ids: Sequence[int]) -> "Tokenizer":
        """Returns the tokenizer of the pieces `ids` alone, which become 0, 1, 2, ...

        Text that is of these pieces is split as before; of a WordPiece, words that were
        [UNK] may be spelt in pieces.

        Args:
            ids: ascending, the special and the indispensable ones among them.
        """
        ...

    def save(self, directory: Path) -> None:
        """Writes into `directory` what `load_tokenizer(directory)` reads back."""
        ...


def well_formed(text: str) -> str:
    """Returns `text` with lone surrogates, which UTF-8 cannot hold, as U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", text)
    return text


def is_punctuation(text: str) -> bool:
    """Returns whether `text` has characters, all of Unicode category P or S."""
    return bool(text) and all(unicodedata.category(c)[0] in "PS" for c in text)


def fingerprint_of(content: bytes, options: Mapping[str, object]) -> str:
    """Returns the sha256 (hex) of the options as sorted JSON, then the content."""
    head = json.dumps(options, sort_keys=True).encode("utf-8")
    return hashlib.sha256(head + b"\n" + content).hexdigest()


def write_config(
    directory: Path, kind: str, tokenizer: Tokenizer, **more: object
) -> None:
    """Writes `tokenizer_config.json`: kind, vocabulary size, fingerprint, and more."""
    config = {
        "kind": kind,
        "vocab_size": tokenizer.vocab_size,
        "fingerprint": tokenizer.fingerprint,
        **more,
    }
    text = json.dumps(config, indent=2) + "\n"
    (directory / CONFIG_FILE).write_text(text, encoding="utf-8")
