"""Which words of a pair translate each other, from what their pieces choose."""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from amber_jax.errors import UserError
from amber_jax.inference.alignment import (
    Directions,
    PiecePair,
    build_aligner,
    build_layer_aligner,
    fitted,
)
from amber_jax.inference.piece_similarity import Similarity
from amber_jax.model.encoder import EncoderConfig
from amber_jax.search.symmetrization import ITERMAX, itermax, symmetrize
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.types import Params

Words = Sequence[str]
WordPair = tuple[Words, Words]
Links = frozenset[tuple[int, int]]
"""(index of the source word, index of the target word), both from 0."""

# More than a word has; fewer than a sentence written without spaces has.
_PIECES_OF_A_WORD = 16

_DEEP = 12  # layers; from here on the last ones are far from the best
_MIDDLE = 0.6  # of the depth: 7 of 12


class Alignment(NamedTuple):
    """How words are aligned."""

    method: str  # "attention" or "similarity", see `alignment.build_aligner`
    # Of the similarity; -1: the last; 0: embeddings; n: output of layer n; None: the
    # last, but in models of 12 layers or more 60 percent of the way up.
    layer: int | None
    symmetrization: str  # see `word_links`
    threshold: float  # see `word_links`
    level: str = "word"  # see `word_links`
    similarity: str = "dot"  # or "cosine"; this and the next see `Similarity`
    center: bool = False
    context: float = 0.0
    prompt: str = ""  # of the similarity: text before each side, such as "query: "

    def numbered(self, num_layers: int) -> "Alignment":
        """The same in a model of that depth, its layer neither None nor -1."""
        layer = self.layer
        if layer is None and self.method != "attention" and num_layers >= _DEEP:
            layer = round(_MIDDLE * num_layers)
        return self._replace(layer=num_layers if layer in (None, -1) else layer)


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
LayerWordAligner = Callable[[Params, Sequence[WordPair]], list[list[Links]]]
"""Gives a list for every layer, from 0 upward: the links of each pair."""


class _Pieces(NamedTuple):
    """The pieces of several pairs."""

    sides: list[tuple[WordPieces, WordPieces]]  # of each pair
    usable: list[int]  # the pairs whose sides both have pieces
    fitted: list[PiecePair]  # the pieces of these that fit the model's positions
    cut: int  # pairs of which some do not


def split_words(tokenizer: Tokenizer, sentences: Sequence[Words]) -> list[WordPieces]:
    """The pieces of sentences whose words are given.

    Every word is tokenized alone, so that no piece stands in two words. WordPiece and
    unigram tokenizers never join what a space separates: the pieces are those of the
    words with spaces between them. (Of splits of a word that score the same, a unigram
    takes one by rounding.) They are not those of the running text: `Moon 's` has other
    pieces than `Moon's` where a vocabulary marks the beginnings of words. A word
    without pieces, such as a zero-width space, gets none, and so no link.
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

    Raises:
        UserError: the prompt leaves no position to a side.
    """
    alignment = alignment.numbered(config.num_layers)
    aligner = build_aligner(
        config,
        tokenizer.special,
        method=alignment.method,
        layer=alignment.layer,
        similarity=_similarity(alignment),
        prompt=_prompt(config, tokenizer, alignment),
    )

    def align(params: Params, pairs: Sequence[WordPair]) -> WordLinks:
        pieces = _pieces(config, tokenizer, pairs, alignment)
        directions = aligner(params, pieces.fitted)
        return WordLinks(
            _links(pieces, directions, alignment),
            cut=pieces.cut,
            unspaced=sum(any(map(_is_unspaced, pair)) for pair in pieces.sides),
        )

    return align


def build_layer_word_aligner(
    config: EncoderConfig, tokenizer: Tokenizer, alignment: Alignment
) -> LayerWordAligner:
    """Like a `build_word_aligner` of "similarity", by every layer of the model.

    Raises:
        UserError: as there.
    """
    aligner = build_layer_aligner(
        config,
        tokenizer.special,
        similarity=_similarity(alignment),
        prompt=_prompt(config, tokenizer, alignment),
    )

    def align(params: Params, pairs: Sequence[WordPair]) -> list[list[Links]]:
        pieces = _pieces(config, tokenizer, pairs, alignment)
        by_layer = zip(*aligner(params, pieces.fitted), strict=True)
        return [_links(pieces, directions, alignment) for directions in by_layer]

    return align


def _prompt(
    config: EncoderConfig, tokenizer: Tokenizer, alignment: Alignment
) -> list[int]:
    """The pieces of the prompt; raises UserError if no others fit beside them."""
    pieces = tokenizer.encode(alignment.prompt)
    most = config.usable_positions - 3  # [CLS], a piece of the side, [SEP]
    if len(pieces) > most:
        raise UserError(
            f"align: the prompt has {len(pieces)} pieces, but the model's "
            f"{config.usable_positions} positions have room for {most} before a side; "
            "give a shorter one"
        )
    return pieces


def _similarity(alignment: Alignment) -> Similarity:
    return Similarity(alignment.similarity, alignment.center, alignment.context)


def _pieces(
    config: EncoderConfig,
    tokenizer: Tokenizer,
    pairs: Sequence[WordPair],
    alignment: Alignment,
) -> _Pieces:
    sides = split_words(tokenizer, [words for pair in pairs for words in pair])
    pieces = list(zip(sides[::2], sides[1::2], strict=True))
    usable = [i for i, (src, tgt) in enumerate(pieces) if src.ids and tgt.ids]
    uncut = [(pieces[i][0].ids, pieces[i][1].ids) for i in usable]
    prompt_length = len(tokenizer.encode(alignment.prompt))
    cut = [
        fitted(
            pair,
            config.usable_positions,
            method=alignment.method,
            separators=tokenizer.special.separators,
            prompt_length=prompt_length,
        )
        for pair in uncut
    ]
    return _Pieces(pieces, usable, cut, cut=sum(map(operator.ne, cut, uncut)))


def _links(
    pieces: _Pieces, directions: Sequence[Directions], alignment: Alignment
) -> list[Links]:
    links: list[Links] = [frozenset()] * len(pieces.sides)
    for i, choices in zip(pieces.usable, directions, strict=True):
        links[i] = word_links(
            choices,
            *(side.words for side in pieces.sides[i]),
            symmetrization=alignment.symmetrization,
            threshold=alignment.threshold,
            level=alignment.level,
        )
    return links


def _is_unspaced(side: WordPieces) -> bool:
    return len(side.ids) > _PIECES_OF_A_WORD and side.words[-1] == 0


def word_links(
    directions: Directions,
    src_words: Sequence[int],
    tgt_words: Sequence[int],
    *,
    symmetrization: str,
    threshold: float,
    level: str = "word",
) -> Links:
    """The links of one pair.

    In each direction a piece is linked to the pieces that it chooses with more than
    `threshold`, or, if that is 0, to the one it chooses most. Two words are linked if
    any of their pieces are: in each direction, which are combined then ("word"), or
    after both have been combined ("piece", as awesome-align and SimAlign do).

    Args:
        directions: X source and Y target pieces.
        src_words: the word index of each source piece; those beyond X are cut off.
        tgt_words: the same of the target.
        symmetrization: as in `symmetrization.symmetrize`; or "itermax" of the source
            pieces' choices, always of pieces and without a threshold.
        threshold: below 1, or 0.
        level: "word" or "piece".
    """
    src, tgt = (
        np.asarray(words[:count])
        for words, count in zip(
            (src_words, tgt_words), directions.src_to_tgt.shape, strict=True
        )
    )
    if symmetrization == ITERMAX:
        linked = _merged(itermax(directions.src_to_tgt), src, tgt)
    else:
        forward = _chosen(directions.src_to_tgt, threshold)
        backward = _chosen(directions.tgt_to_src, threshold).T
        if level == "piece":
            linked = _merged(symmetrize(forward, backward, symmetrization), src, tgt)
        else:
            forward, backward = (
                _merged(pieces, src, tgt) for pieces in (forward, backward)
            )
            linked = symmetrize(forward, backward, symmetrization)
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
