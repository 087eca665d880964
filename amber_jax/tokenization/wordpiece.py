"""mBERT's cased WordPiece, from a `vocab.txt` with one piece a line."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers

from amber_jax.errors import UserError
from amber_jax.tokenization.tokenizer import (
    SPECIAL_PIECES,
    SpecialTokens,
    fingerprint_of,
    is_punctuation,
    well_formed,
    write_config,
)

KIND = "wordpiece"
VOCAB_FILE = "vocab.txt"
CONTINUATION = "##"

# Source: `bert-base-multilingual-cased` and BERT's own tokenization.py.
_NORMALIZER = {
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": False,
    "lowercase": False,
}
# Longer words are [UNK]. As in Hugging Face's BERT; Google's first code allows 200,
# which matters for Thai, written without spaces.
MAX_WORD_CHARACTERS = 100


class WordPieceTokenizer:
    """BERT's basic split and longest-match WordPiece, see `tokenizer.Tokenizer`.

    A word starts at every piece without "##": CJK characters and punctuation
    marks are words of their own.
    """

    def __init__(self, pieces: Sequence[str], *, origin: str):
        """Takes the pieces by id; `origin` names the vocabulary in errors.

        Raises:
            UserError: a special piece is missing.
        """
        self._pieces = list(pieces)
        vocabulary = {piece: i for i, piece in enumerate(self._pieces)}
        self.special = _special_tokens(vocabulary, origin)
        self.vocab_size = len(self._pieces)
        options = {"kind": KIND, "max_word": MAX_WORD_CHARACTERS, **_NORMALIZER}
        self.fingerprint = fingerprint_of(self._content(), options)
        self._library = library_tokenizer(vocabulary)

    def encode(self, text: str) -> list[int]:
        """Returns the ids of any `str`, without special tokens around them."""
        return self._library.encode(well_formed(text)).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns `encode` of each text, in one library call."""
        batch = [well_formed(text) for text in texts]
        return [encoding.ids for encoding in self._library.encode_batch_fast(batch)]

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the words of `ids` with single spaces; special tokens skipped."""
        special = self.special.ids()
        return self._library.decode([int(i) for i in ids if i not in special])

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Returns the pieces as they are written in the vocabulary."""
        return [self._pieces[i] for i in ids]

    def word_starts(self, ids: Sequence[int]) -> list[bool]:
        """Returns True where the piece begins a word; special tokens are words."""
        return [not self._pieces[i].startswith(CONTINUATION) for i in ids]

    def punctuation(self) -> np.ndarray:
        """Returns [vocab_size] bool: pieces of nothing but punctuation, symbols."""
        flags = [is_punctuation(p.removeprefix(CONTINUATION)) for p in self._pieces]
        flags = np.array(flags, dtype=bool)
        flags[list(self.special.ids())] = False
        return flags

    def indispensable(self) -> set[int]:
        """Returns no id: any pieces make a WordPiece."""
        return set()

    def subset(self, ids: Sequence[int]) -> "WordPieceTokenizer":
        """Returns the tokenizer of the pieces `ids`, see `tokenizer.Tokenizer`."""
        return WordPieceTokenizer(self.pieces(ids), origin="the cut vocabulary")

    def save(self, directory: Path) -> None:
        """Writes `vocab.txt` and its `tokenizer_config.json` into `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / VOCAB_FILE).write_bytes(self._content())
        write_config(directory, KIND, self)

    def _content(self) -> bytes:
        return "".join(f"{piece}\n" for piece in self._pieces).encode("utf-8")


def load(path: Path) -> WordPieceTokenizer:
    """Returns the tokenizer of a `vocab.txt`; line number = id, from 0.

    Raises:
        UserError: missing, empty, not UTF-8, a piece twice, an empty line, or
            without one of BERT's special pieces.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); give BERT's vocab.txt"
        ) from error
    return WordPieceTokenizer(_read_pieces(content, path), origin=str(path))


def _read_pieces(content: bytes, path: Path) -> list[str]:
    if not content.strip():
        raise UserError(f"{path}: is empty; wanted one piece a line")
    first_line: dict[str, int] = {}
    # Only \n ends a line: pieces may hold U+2028 and the like.
    for number, raw in enumerate(content.removesuffix(b"\n").split(b"\n"), start=1):
        piece = _decoded(raw.removesuffix(b"\r"), path, number)
        if piece in first_line:
            raise UserError(
                f"{path}: line {number} repeats the piece {piece!r} of line "
                f"{first_line[piece]}; every piece must have one id"
            )
        first_line[piece] = number
    return list(first_line)


def _decoded(raw: bytes, path: Path, number: int) -> str:
    if not raw:
        raise UserError(f"{path}: line {number} is empty; wanted one piece a line")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: line {number} is not UTF-8 ({raw[:40]!r}); "
            "save the vocabulary as UTF-8"
        ) from error


def _special_tokens(vocabulary: Mapping[str, int], origin: str) -> SpecialTokens:
    missing = [piece for piece in SPECIAL_PIECES if piece not in vocabulary]
    if missing:
        raise UserError(
            f"{origin}: has no piece {', '.join(missing)}; wanted BERT's five "
            f"special pieces {' '.join(SPECIAL_PIECES)}"
        )
    return SpecialTokens(*(vocabulary[piece] for piece in SPECIAL_PIECES))


def library_tokenizer(vocabulary: dict[str, int]) -> LibraryTokenizer:
    """Returns the Rust tokenizer of {piece: id}."""
    # No special token is registered: the text "[MASK]" is three words, not the id.
    library = LibraryTokenizer(
        models.WordPiece(
            vocab=vocabulary,
            unk_token="[UNK]",
            continuing_subword_prefix=CONTINUATION,
            max_input_chars_per_word=MAX_WORD_CHARACTERS,
        )
    )
    library.normalizer = normalizers.BertNormalizer(**_NORMALIZER)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece(prefix=CONTINUATION, cleanup=False)
    return library
