"""Packed rows of literal pairs, and the objective on them."""

import dataclasses
import functools

import flax.linen as nn
import jax
import numpy as np

from amber_jax.model import masking, rows
from amber_jax.pretraining.objectives import (
    SentenceAlignment,
    Vocabulary,
    WordAlignment,
    pretraining_objective,
)

PAD, UNK, CLS, SEP, MASK = range(5)
VOCABULARY = Vocabulary(
    special=(PAD, CLS, SEP, MASK),
    mask_id=MASK,
    words=range(5, 60),
    punctuation=np.isin(np.arange(60), range(50, 55)),
)
RATE = 0.5
JUNK = 59  # a word that stands in no row
LENGTH = 24

# Every word stands in one place only; 50 to 54 are punctuation.
PAIR_ROWS = [
    [([10, 11, 50], [20, 21, 22]), ([12], [23, 51, 24, 25]), ([13, 14], None)],
    [([15, 16, 17, 18], [26]), ([19], [27, 28]), ([54], [43])],
    [([30], None), ([31, 32, 52], [33, 34])],
    [([35, 36, 37, 38], [39, 53, 40, 41, 42])],
]
MONO_ROWS = [
    [([5, 6, 7], [8, 9]), ([44], None)],
    [([45, 46, 47, 48], [49]), ([29, 1], None)],
]
PAIRS = [pair for row in PAIR_ROWS for pair in row if pair[1]]

SENTENCE_PAPER = SentenceAlignment(
    symmetric=False, normalize=False, scale=1.0, margin=0.0, special_tokens=False
)
SENTENCE_OTHER = SentenceAlignment(
    symmetric=True, normalize=True, scale=5.0, margin=0.2, special_tokens=True
)
WORD_PAPER = WordAlignment(
    form="attention",
    layer=-1,
    renormalize=False,
    special_tokens=False,
    punctuation=True,
    max_position_offset=0,
)
WORD_MUTUAL = dataclasses.replace(WORD_PAPER, form="similarity")
WORD_STRICT = dataclasses.replace(WORD_PAPER, punctuation=False, renormalize=True)
WORD_SPECIAL = dataclasses.replace(WORD_PAPER, special_tokens=True)
OFFSETS = dataclasses.replace(WORD_PAPER, max_position_offset=3)


def build_batch(pack):
    """The rows above as a batch, by the fixture `pack`."""
    pair, mono = pack(PAIR_ROWS, length=LENGTH), pack(MONO_ROWS, length=LENGTH)
    mono["row_ids"][:, 0] = 0  # another stream
    return {"mono": mono, "pair": pair}


def with_filled_padding(batch):
    """The batch with a word wherever there was padding."""

    def fill(kind):
        real = rows.layout(kind["span_lengths"], LENGTH).pair_ids > 0
        return kind | {"token_ids": np.where(real, kind["token_ids"], JUNK)}

    return {kind: fill(rows_of_kind) for kind, rows_of_kind in batch.items()}


def places_of_texts(spans):
    """(row, first token, first token of y, end) of every pair and lone text."""
    for row, texts in enumerate(spans.tolist()):
        start = 0
        for first, second in texts:
            if first:
                yield row, start, start + first, start + first + second
            start += first + second


def masked_rows(kind):
    """What masking makes of rows with the key that `run` gives the objective."""
    clean = kind["token_ids"]
    masked = masking.mask_rows(
        clean,
        ~np.isin(clean, VOCABULARY.special),
        masking.row_keys(jax.random.key(0), kind["row_ids"]),
        rate=RATE,
        mask_id=MASK,
        words=range(5, 60),
    )
    return jax.device_get(masked)


def objective_of(
    config, losses, sentence=SENTENCE_PAPER, word=WORD_PAPER, *, mask_key=None
):
    return pretraining_objective(
        config,
        VOCABULARY,
        losses=frozenset(losses),
        masking_rate=RATE,
        mask_key=jax.random.key(0) if mask_key is None else mask_key,
        options={"sentence_alignment": sentence, "word_alignment": word},
    )


@functools.cache
def compiled(*args):
    """The jitted objective of `objective_of(*args)`: (params, batch, key) -> terms."""
    return jax.jit(functools.partial(objective_of(*args), train=False, axis_name=None))


def run(params, batch, *args):
    """The terms that the compiled objective of `objective_of(*args)` gives."""
    return jax.device_get(compiled(*args)(params, batch, jax.random.key(0)))


def intercepted(watch, objective, params, batch, *, key=None):
    """The terms; `watch(context, args, result)` may replace what a module returns."""

    def interceptor(next_function, args, kwargs, context):
        return watch(context, args, next_function(*args, **kwargs))

    with nn.intercept_methods(interceptor):
        key = jax.random.key(0) if key is None else key
        return objective(params, batch, key, train=False, axis_name=None)


def assert_term(term, expected_total, expected_weight):
    np.testing.assert_allclose(term.total, expected_total, rtol=1e-5, atol=1e-5)
    assert term.weight == expected_weight
