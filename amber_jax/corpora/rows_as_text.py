"""Rows of a corpus as people read them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from amber_jax.corpora.packing import taken_apart
from amber_jax.corpora.records import Corpus, open_corpus, read_rows
from amber_jax.errors import UserError, suggestion
from amber_jax.storage import location
from amber_jax.tokenization import load_tokenizer
from amber_jax.tokenization.tokenizer import Tokenizer


def corpus_lines(
    directory: Path, *, stream: str | None, rows: int, pieces: bool
) -> Iterator[str]:
    """Yields what streams a corpus has, and some rows of each, as lines of text.

    Args:
        directory: of a finished corpus.
        stream: the only one to show, as "en" or "en-fr"; None: every one.
        rows: of each stream, evenly spaced, at most; 0: none.
        pieces: show the pieces of the vocabulary, not the text that they spell.

    Raises:
        UserError: this is no corpus, is damaged, or has no such stream.
    """
    corpus = open_corpus(directory, verify=False)
    names = [(kind, name) for kind in corpus.streams for name in corpus.streams[kind]]
    if stream is not None and stream not in {name for _, name in names}:
        known = sorted({name for _, name in names})
        raise UserError(
            f"{directory} has no stream {stream!r}; {suggestion(stream, known)}"
        )
    tokenizer = load_tokenizer(location(directory) / "tokenizer")
    yield (
        f"corpus of {len(names)} streams, rows of {corpus.row_length} tokens, "
        f"vocabulary of {corpus.vocab_size:,}"
    )
    for kind, name in names:
        if stream in (None, name):
            yield from _stream_lines(corpus, kind, name, tokenizer, rows, pieces)


def _stream_lines(
    corpus: Corpus, kind: str, name: str, tokenizer: Tokenizer, rows: int, pieces: bool
) -> Iterator[str]:
    stream = corpus.streams[kind][name]
    yield ""
    yield (
        f"{kind} {name}: {stream.rows:,} rows, {stream.pairs:,} pairs, "
        f"{stream.real_tokens:,} tokens, rate {stream.rate:.4f}"
    )
    numbers = np.unique(np.linspace(0, stream.rows - 1, rows).astype(int))
    for number in numbers if stream.rows else ():
        (row,) = read_rows(corpus, stream, np.array([number]))
        used = int(row[corpus.row_length :].sum())
        yield f"  row {number:,}: {used} of {corpus.row_length} tokens"
        pairs = taken_apart(
            row[None], row_length=corpus.row_length, separators=corpus.separators
        )
        for place, sides in enumerate(pairs):
            for mark, ids in zip((f"{place:>5} ", "      "), sides, strict=True):
                if ids:
                    text = tokenizer.pieces(ids) if pieces else [tokenizer.decode(ids)]
                    yield f"{mark}{' '.join(text)}"
