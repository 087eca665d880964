"""Which words of a pair translate each other, from what their pieces choose."""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from amber_jax.inference.alignment import Directions, build_aligner, fitted
from amber_jax.model.encoder import EncoderConfig
from amber_jax.search.symmetrization import symmetrize
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.types import Params

Words = Sequence[str]
WordPair = tuple[Words, Words]
Links = frozenset[tuple[int, int]]
"""(index of the source word, index of the target word), both from 0."""

# More than a word has; fewer than a sentence written without spaces has.
_PIECES_OF_A_WORD = 16


class Alignment(NamedTuple):
    """How words are aligned."""

    method: str  # "attention" or "similarity", see `alignment.build_aligner`
    layer: int  # of the similarity; -1: the last; 0: embeddings; n: output of layer n
    symmetrization: str  # see `symmetrization.symmetrize`
    threshold: float  # see `word_links`


class WordPieces(NamedTuple):
    """A sentence's pieces, and the word of each piece."""

    ids: list[int]
    words: list[int]  # the word index of each piece, never falling


class WordLinks(NamedTuple):
    """The links of several pairs, and counts of pairs to warn about."""

    links: list[Links]
    cut: int  # pairs that were longer than the model's positions
    unspaced: int  # pairs with a side that is one word of very many pieces

    def warnings(self, max_positions: int) -> Iterator[str]:
        """Yields the counts as sentences, none for zero."""
        if self.cut:
            yield (
                f"{self.cut:,} pairs are longer than the model's {max_positions} "
                "positions and were cut; words beyond have no link"
            )
        if self.unspaced:
            yield (
                f"{self.unspaced:,} pairs have a side that is one very long word; text "
                "of a language written without spaces has to be split by spaces first"
            )


WordAligner = Callable[[Params, Sequence[WordPair]], WordLinks]


def split_words(tokenizer: Tokenizer, sentences: Sequence[Words]) -> list[WordPieces]:
    """The pieces of sentences whose words are given.

    Every word is tokenized alone, so that no piece stands in two words. WordPiece and
    unigram tokenizers never join what a space separates: the pieces are those of the
    words with spaces between them. They are not those of the running text: `Moon 's`
    has other pieces than `Moon's` where a vocabulary marks the beginnings of words. A
    word without pieces, such as a zero-width space, gets none, and so no link.
    """
    vocabulary = sorted({word for words in sentences for word in words})
    pieces = dict(zip(vocabulary, tokenizer.encode_batch(vocabulary), strict=True))
    return [
        WordPieces(
            [piece for word in words for piece in pieces[word]],
            [index for index, word in enumerate(words) for _ in pieces[word]],
        )
        for words in sentences
    ]


def build_word_aligner(
    config: EncoderConfig, tokenizer: Tokenizer, alignment: Alignment
) -> WordAligner:
    """A function `(params, pairs) -> WordLinks` of pairs of words.

    A side without words has no links. A pair longer than the model's positions is cut
    as `alignment.fitted` does it: the words beyond have no link.
    """
    aligner = build_aligner(
        config, tokenizer.special, method=alignment.method, layer=alignment.layer
    )

    def align(params: Params, pairs: Sequence[WordPair]) -> WordLinks:
        sides = split_words(tokenizer, [words for pair in pairs for words in pair])
        pieces = list(zip(sides[::2], sides[1::2], strict=True))
        usable = [i for i, (src, tgt) in enumerate(pieces) if src.ids and tgt.ids]
        uncut = [(pieces[i][0].ids, pieces[i][1].ids) for i in usable]
        cut = [
            fitted(
                pair,
                config.usable_positions,
                method=alignment.method,
                separators=tokenizer.special.separators,
            )
            for pair in uncut
        ]
        links: list[Links] = [frozenset()] * len(pairs)
        for i, directions in zip(usable, aligner(params, cut), strict=True):
            links[i] = word_links(
                directions,
                *(side.words for side in pieces[i]),
                symmetrization=alignment.symmetrization,
                threshold=alignment.threshold,
            )
        return WordLinks(
            links,
            cut=sum(map(operator.ne, cut, uncut)),
            unspaced=sum(any(map(_is_unspaced, pair)) for pair in pieces),
        )

    return align


def _is_unspaced(side: WordPieces) -> bool:
    return len(side.ids) > _PIECES_OF_A_WORD and side.words[-1] == 0


def word_links(
    directions: Directions,
    src_words: Sequence[int],
    tgt_words: Sequence[int],
    *,
    symmetrization: str,
    threshold: float,
) -> Links:
    """The links of one pair.

    In each direction a piece is linked to the pieces that it chooses with more than
    `threshold`, or, if that is 0, to the one it chooses most; two words are linked if
    any of their pieces are. Then both directions are combined.

    Args:
        directions: X source and Y target pieces.
        src_words: the word index of each source piece; those beyond X are cut off.
        tgt_words: the same of the target.
        symmetrization: as in `symmetrization.symmetrize`.
        threshold: probability below 1, or 0.
    """
    forward = _chosen(directions.src_to_tgt, threshold)
    backward = _chosen(directions.tgt_to_src, threshold).T
    src, tgt = (
        np.asarray(words[:count])
        for words, count in zip((src_words, tgt_words), forward.shape, strict=True)
    )
    linked = symmetrize(
        _merged(forward, src, tgt), _merged(backward, src, tgt), symmetrization
    )
    return frozenset((int(i), int(j)) for i, j in np.argwhere(linked))


def _chosen(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    if threshold:
        return probabilities > threshold
    best = probabilities.argmax(1)
    return best[:, None] == np.arange(probabilities.shape[1])


def _merged(pieces: np.ndarray, src: np.ndarray, tgt: np.ndarray) -> np.ndarray:
    """Whether any pieces of two words are linked, [words, words] bool."""
    words = np.zeros((src.max() + 1, tgt.max() + 1), bool)
    i, j = np.nonzero(pieces)
    words[src[i], tgt[j]] = True
    return words


def diagonal_links(src: Words, tgt: Words) -> Links:
    """The links of a guess from word order alone, the baseline.

    Source word i of n is linked to target word round(i * m / n) of m, halves to even.
    """
    n, m = len(src), len(tgt)
    return frozenset((i, min(m - 1, round(i * m / n))) for i in range(n) if m)
