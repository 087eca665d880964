"""How often each piece of the vocabulary stands in a corpus."""

import numpy as np

from amber_jax.corpora.records import Corpus, read_rows

_ROWS = 4096  # read at once


def piece_counts(corpus: Corpus) -> np.ndarray:
    """Returns [V] int64: tokens of each piece in all rows, padding not counted."""
    counts = np.zeros(corpus.vocab_size, np.int64)
    for streams in corpus.streams.values():
        for stream in streams.values():
            for begin in range(0, stream.rows, _ROWS):
                end = min(begin + _ROWS, stream.rows)
                records = read_rows(corpus, stream, np.arange(begin, end))
                tokens, spans = np.split(records, [corpus.row_length], axis=1)
                real = np.arange(corpus.row_length) < spans.sum(1, keepdims=True)
                counts += np.bincount(tokens[real], minlength=corpus.vocab_size)
    return counts
