"""What rows drawn evenly from a stream tell about its text and the vocabulary."""

from dataclasses import dataclass

import numpy as np

from amber_jax.corpora.packing import taken_apart
from amber_jax.corpora.records import Corpus, Stream, read_rows
from amber_jax.tokenization.tokenizer import Tokenizer

_ROWS = 256


@dataclass(frozen=True)
class StreamMeasures:
    """Of some rows of a stream; shares are 0 where there is nothing."""

    unknown: float  # share of the tokens
    tokens_per_word: float
    lengths: tuple[int, int, int]  # tokens of a side: 10th, 50th, 90th percentile


def stream_measures(
    corpus: Corpus, stream: Stream, tokenizer: Tokenizer
) -> StreamMeasures:
    """Returns the measures of a stream from at most 256 of its rows."""
    numbers = np.unique(np.linspace(0, stream.rows - 1, _ROWS).astype(int))
    rows = read_rows(corpus, stream, numbers if stream.rows else numbers[:0])
    pairs = taken_apart(
        rows, row_length=corpus.row_length, separators=corpus.separators
    )
    sides = [side for pair in pairs for side in pair if side]
    if not sides:
        return StreamMeasures(0.0, 0.0, (0, 0, 0))
    lengths = [*map(len, sides)]
    tokens = sum(lengths)
    words = sum(sum(tokenizer.word_starts(side)) for side in sides)
    low, middle, high = np.percentile(lengths, (10, 50, 90), method="nearest").tolist()
    return StreamMeasures(
        sum(side.count(tokenizer.special.unk) for side in sides) / tokens,
        tokens / max(words, 1),
        (low, middle, high),
    )
