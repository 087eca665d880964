"""SentencePiece unigram vocabularies with BERT's special pieces at ids 0 to 4."""

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from amber_jax.errors import UserError
from amber_jax.ranges import problems, real, refuse
from amber_jax.tokenization.tokenizer import (
    SPECIAL_PIECES,
    SpecialTokens,
    fingerprint_of,
    is_punctuation,
    well_formed,
    write_config,
)

KIND = "sentencepiece"
MODEL_FILE = "sentencepiece.model"
WORD_START = "\u2581"
MAX_SENTENCE_BYTES = 1 << 14  # the trainer leaves out longer sentences
COVERAGE = real(0.98, 1)
"""Shares of the text's characters that the trainer lets have pieces of their own."""


class SentencePieceTokenizer:
    """A trained SentencePiece model, see `tokenizer.Tokenizer`.

    A word starts at a piece that begins with U+2581; text written without spaces
    is one word.
    """

    def __init__(self, model: bytes, *, origin: str):
        """Takes the bytes of a `.model` file; `origin` names it in errors.

        Raises:
            UserError: not a SentencePiece model, or a special piece is missing.
        """
        self._model = model
        self._processor = _processor(model, origin)
        self.special = _special_tokens(self._processor, origin)
        self.vocab_size: int = self._processor.get_piece_size()
        self.fingerprint = fingerprint_of(model, {"kind": KIND})

    def encode(self, text: str) -> list[int]:
        """Returns the ids of any `str`, without special tokens around them."""
        return self._processor.encode(well_formed(text))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns `encode` of each text, in one library call."""
        # One thread: corpora are encoded by one process a core already.
        return self._processor.encode([well_formed(t) for t in texts], num_threads=1)

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of `ids`; special tokens are skipped."""
        special = self.special.ids()
        return self._processor.decode([int(i) for i in ids if i not in special])

    def normalize(self, text: str) -> str:
        """Returns the text that `decode(encode(text))` gives when nothing is unknown.

        NFKC, some controls removed, whitespace collapsed, U+2581 read as a space.
        """
        normal = self._processor.normalize(well_formed(text))
        return normal.replace(WORD_START, " ").removeprefix(" ")

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Returns the pieces as they are written in the vocabulary."""
        return self._processor.id_to_piece([int(i) for i in ids])

    def word_starts(self, ids: Sequence[int]) -> list[bool]:
        """Returns True where the piece begins a word; special tokens are words."""
        special = self.special.ids()
        return [
            i in special or piece.startswith(WORD_START)
            for i, piece in zip(ids, self.pieces(ids), strict=True)
        ]

    def punctuation(self) -> np.ndarray:
        """Returns [vocab_size] bool: pieces of nothing but punctuation, symbols."""
        flags = [is_punctuation(self._surface(i)) for i in range(self.vocab_size)]
        flags = np.array(flags, dtype=bool)
        flags[list(self.special.ids())] = False
        return flags

    def indispensable(self) -> set[int]:
        """Returns single bytes, and a piece of the lowest score.

        The score of unknown characters is derived from the lowest.
        """
        ids = range(self.vocab_size)
        ordinary = [i for i in ids if i not in self.special.ids()]
        is_byte, score = self._processor.is_byte, self._processor.get_score
        scored = [i for i in ordinary if not is_byte(i)]
        lowest = [min(scored, key=score)] if scored else []
        return {*filter(is_byte, ordinary), *lowest}

    def subset(self, ids: Sequence[int]) -> "SentencePieceTokenizer":
        """Returns the tokenizer of the pieces `ids`, see `tokenizer.Tokenizer`."""
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(self._model)
        pieces = [proto.pieces[i] for i in ids]
        del proto.pieces[:]
        proto.pieces.extend(pieces)
        proto.trainer_spec.vocab_size = len(pieces)
        model = proto.SerializeToString(deterministic=True)
        return SentencePieceTokenizer(model, origin="the cut vocabulary")

    def save(self, directory: Path) -> None:
        """Writes the model and its `tokenizer_config.json` into `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / MODEL_FILE).write_bytes(self._model)
        write_config(directory, KIND, self)

    def _surface(self, index: int) -> str:
        piece = self._processor.id_to_piece(index)
        if self._processor.is_byte(index):
            value = int(piece[1:-1], 16)  # "<0x2C>" is a comma
            return chr(value) if value < 0x80 else ""
        return piece.replace(WORD_START, "")


def load(path: Path) -> SentencePieceTokenizer:
    """Returns the tokenizer in a `.model` file.

    Raises:
        UserError: missing, not a SentencePiece model, or without a special piece.
    """
    try:
        model = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); give a SentencePiece .model"
        ) from error
    return SentencePieceTokenizer(model, origin=str(path))


def train(
    sentences: Iterable[str],
    *,
    vocab_size: int,
    character_coverage: float,
    byte_fallback: bool,
) -> SentencePieceTokenizer:
    """Returns a unigram model; equal sentences in equal order give equal bytes.

    Args:
        sentences: one sentence each; those above `MAX_SENTENCE_BYTES` are left out.
        vocab_size: pieces in all, the five special ones and 256 bytes included.
        character_coverage: share of the characters in the sentences that get a
            piece of their own; 1.0 leaves no character of theirs unknown.
        byte_fallback: spells other characters in UTF-8 bytes, so none is unknown.

    Raises:
        UserError: the text is empty, too small or too varied for `vocab_size`, or
            `character_coverage` is not within 0.98 and 1.
    """
    # The library refuses other values in C++ terms, and after reading all text.
    wrong = problems(character_coverage, COVERAGE, "character_coverage")
    refuse("SentencePiece", wrong)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_printable(sentences),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            character_coverage=character_coverage,
            byte_fallback=byte_fallback,
            max_sentence_length=MAX_SENTENCE_BYTES,
            num_threads=1,  # the number of threads changes the pieces
            minloglevel=2,
            **_special_options(),
        )
    except RuntimeError as error:
        raise UserError(
            f"vocab_size {vocab_size} does not fit the text: {_last_words(error)}; "
            "change vocab_size, lower character_coverage or give more text"
        ) from error
    return SentencePieceTokenizer(model.getvalue(), origin="the trained model")


def _special_options() -> dict[str, object]:
    pad, unk, cls, sep, mask = SPECIAL_PIECES
    # "Begin" and "end" serve as [CLS] and [SEP]; control pieces never match text.
    return {
        "pad_id": 0,
        "pad_piece": pad,
        "unk_id": 1,
        "unk_piece": unk,
        "bos_id": 2,
        "bos_piece": cls,
        "eos_id": 3,
        "eos_piece": sep,
        "control_symbols": [mask],
    }


def _printable(sentences: Iterable[str]) -> Iterator[str]:
    return (well_formed(sentence) for sentence in sentences)


def _processor(model: bytes, origin: str) -> sentencepiece.SentencePieceProcessor:
    # An empty model would load, and fail at its first use.
    try:
        if model:
            return sentencepiece.SentencePieceProcessor(model_proto=model)
        reason = "the file is empty"
    except RuntimeError as error:
        reason = _last_words(error)
    raise UserError(
        f"{origin}: not a SentencePiece model ({reason}); "
        "train one with amber train_tokenizer"
    )


def _special_tokens(
    processor: sentencepiece.SentencePieceProcessor, origin: str
) -> SpecialTokens:
    ids = [processor.piece_to_id(piece) for piece in SPECIAL_PIECES]
    pieces = [processor.id_to_piece(i) for i in ids]
    missing = [
        wanted
        for wanted, piece in zip(SPECIAL_PIECES, pieces, strict=True)
        if wanted != piece
    ]
    if missing:
        raise UserError(
            f"{origin}: has no piece {', '.join(missing)}; wanted BERT's five "
            "special pieces, as amber train_tokenizer makes them"
        )
    return SpecialTokens(*ids)


def _last_words(error: Exception) -> str:
    # The library puts C++ source positions before its words, and may add no words.
    text = " ".join(str(error).split())
    return text.rsplit("] ", 1)[-1].rstrip(".")
