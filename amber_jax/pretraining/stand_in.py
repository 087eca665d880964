"""A run whose corpus is not there yet: rows of usual sizes stand in for it.

Nothing can be trained on them; programs, their memory and their work follow from sizes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from amber_jax import config as settings
from amber_jax.corpora.records import KINDS, Corpus, Stream
from amber_jax.errors import UserError
from amber_jax.pretraining import preparation
from amber_jax.pretraining.beginning import with_initial_sizes
from amber_jax.pretraining.preparation import Run
from amber_jax.pretraining.stages import Stage
from amber_jax.tokenization.tokenizer import SpecialTokens

_VOCABULARY = 119_547  # entries: mBERT's


class Rows(NamedTuple):
    """What a corpus would say of its rows; by default those of configs/corpus_folder.py
    with pairs of the length that real text in many languages has."""

    row_length: int = 256  # tokens
    pair_tokens: int = 63  # real ones of a pair, [CLS] and [SEP]s among them
    max_pairs: int = 16  # of a row


def prepare(
    config: ConfigDict,
    rows: Rows,
    devices: Sequence[Any] | None = None,
    *,
    suited: Any = None,
) -> Run:
    """Returns the run of a config, with or without a corpus.

    Args:
        config: as `pretrain` takes it; without a corpus `rows` stand in for one, and
            mBERT's vocabulary for `model.vocab_size` 0.
        rows: of the corpus that is not there, cut to the positions of the model.
        devices: as of `preparation.prepare`, and so is the next.
        suited: the device that the kernels are to suit.

    Raises:
        UserError: as `preparation.prepare`.
    """
    if config.corpus:
        return preparation.prepare(config, devices, suited=suited)
    config = with_initial_sizes(config, None).copy_and_resolve_references()
    config.corpus = "none, as rows stand in for it"
    settings.validate(config)
    words: Any = _Words(config.model.vocab_size or _VOCABULARY)
    most = config.model.max_positions - config.model.position_offset
    most -= config.word_alignment.max_position_offset
    rows = rows._replace(row_length=min(rows.row_length, most))
    corpus = _corpus(rows, words)
    devices = devices or jax.devices()
    return preparation.assemble(config, corpus, words, devices, suited=suited)


def describe(run: Run) -> str:
    """Says which rows stand in for a corpus."""
    stream = next(iter(run.corpus.streams[KINDS[0]].values()))
    return (
        f"no corpus: rows of {run.corpus.row_length} tokens with {stream.pairs} pairs "
        f"of {stream.real_tokens // stream.pairs} and a vocabulary of "
        f"{run.corpus.vocab_size:,} stand in for it"
    )


def mean_batch(run: Run, stage: Stage) -> Any:
    """Returns a batch's `span_lengths` with pairs and tokens as rows have on average.

    All pairs of a row are equally long, and both of their sides.
    """
    batch = {}
    for kind, count in stage.rows.items():
        streams = run.corpus.streams[kind].values()
        pairs = sum(s.rate * s.pairs / s.rows for s in streams)
        tokens = sum(s.rate * s.real_tokens / s.rows for s in streams)
        side = tokens / pairs / 2
        spans = np.full((count, max(1, round(pairs)), 2), round(side), np.int32)
        batch[kind] = {"span_lengths": spans}
    return batch


class _Words:
    """What a run that does not run asks of a tokenizer."""

    special = SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)
    fingerprint = ""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def punctuation(self) -> np.ndarray:
        """Returns [vocab_size] bool; which they are does not change the program."""
        return np.zeros(self.vocab_size, bool)


def _corpus(rows: Rows, words: _Words) -> Corpus:
    pairs = min(rows.row_length // rows.pair_tokens, rows.max_pairs)
    if not pairs:
        raise UserError(
            f"pairs of {rows.pair_tokens} tokens do not fit rows of {rows.row_length}; "
            "make pairs shorter or rows longer"
        )
    stream = Stream("any", (), 1, pairs, pairs * rows.pair_tokens, 1.0)
    return Corpus(
        directory=Path(),
        row_length=rows.row_length,
        max_pairs=rows.max_pairs,
        rows_per_shard=1,
        vocab_size=words.vocab_size,
        tokenizer_fingerprint=words.fingerprint,
        fingerprint="",
        streams={kind: {stream.name: stream} for kind in KINDS},
    )
