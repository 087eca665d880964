"""A probe's sentence pair by words: what its pieces say, put together."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from amber_jax.report.inputs import Probe

_WORD_START, _CONTINUATION = "▁", "##"  # of SentencePiece, of WordPiece
# Scripts without spaces between words: pieces are all there is to see.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


class WordView(NamedTuple):
    """One sentence pair; X and Y count words."""

    src: list[str]
    tgt: list[str]
    attention: np.ndarray  # [X, Y], high only where both directions agree
    similarity: np.ndarray  # [X, Y], cosines


def view_words(probe: Probe) -> WordView:
    """Returns the pair of the probe, its matrices by words.

    Attention from a word is the mean over its pieces, attention to a word the sum;
    both directions together are their geometric mean. Similarity is the mean.

    Source: Clark et al. 2019, "What Does BERT Look At?", section 4.1 (words).
    """
    src, from_src = _words([str(piece) for piece in probe.src_pieces])
    tgt, from_tgt = _words([str(piece) for piece in probe.tgt_pieces])
    of_src, of_tgt = _mean(from_src), _mean(from_tgt)
    forward = of_src @ probe.src_to_tgt @ from_tgt.T
    backward = of_tgt @ probe.tgt_to_src @ from_src.T
    return WordView(
        src,
        tgt,
        attention=np.sqrt(forward * backward.T),
        similarity=of_src @ probe.similarity @ of_tgt.T,
    )


def _words(pieces: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Returns the words, and [words, pieces] which of them each piece belongs to."""
    is_marked = any(piece.startswith(_WORD_START) for piece in pieces)
    texts: list[str] = []
    word_of = []
    for piece, before in zip(pieces, ["", *pieces], strict=False):
        text = piece.removeprefix(_WORD_START if is_marked else _CONTINUATION)
        begins = piece.startswith(_WORD_START) if is_marked else text == piece
        apart = begins or _is_unspaced(piece) or _is_unspaced(before)
        if not texts or (apart and texts[-1]):  # a lone mark of a start has no letters
            texts.append(text)
        else:
            texts[-1] += text
        word_of.append(len(texts) - 1)
    return texts, (np.arange(len(texts))[:, None] == word_of).astype(np.float64)


def _is_unspaced(piece: str) -> bool:
    return any(
        unicodedata.name(character, "").startswith(_UNSPACED) for character in piece
    )


def _mean(members: np.ndarray) -> np.ndarray:
    return members / members.sum(axis=1, keepdims=True)
