"""The losses of packed rows against the naive scheme, and what must not matter."""

import dataclasses

import jax
import naive_scheme
import numpy as np
import pytest
from packed_rows import (
    LENGTH,
    MONO_ROWS,
    OFFSETS,
    PAIR_ROWS,
    PAIRS,
    RATE,
    SENTENCE_OTHER,
    SENTENCE_PAPER,
    WORD_MUTUAL,
    WORD_PAPER,
    WORD_SPECIAL,
    WORD_STRICT,
    assert_term,
    masked_rows,
    objective_of,
    run,
    with_filled_padding,
)

from amber_jax.losses import LOSSES, MASKED_LM, SENTENCES, WORDS
from amber_jax.reductions import AXIS, reduce_sum


@pytest.fixture(scope="module")
def terms(params, encoder_config, batch):
    return run(params, batch, encoder_config, LOSSES)


def assert_same_terms(terms, expected):
    assert terms.keys() == expected.keys()
    for name in terms:
        assert_term(terms[name], *expected[name])


def test_masked_lm_is_that_of_every_text_encoded_alone(
    terms, batch, numpy_bert, numpy_mlm_head
):
    mono, pair = (
        naive_scheme.masked_lm(
            numpy_bert, numpy_mlm_head, texts, kind["token_ids"], masked_rows(kind)
        )
        for texts, kind in [(MONO_ROWS, batch["mono"]), (PAIR_ROWS, batch["pair"])]
    )
    assert_term(terms["mlm"], mono[0], mono[2])
    assert_term(terms["tlm"], pair[0], pair[2])
    assert_term(terms[MASKED_LM], mono[0] + pair[0], mono[2] + pair[2])
    assert_term(terms["masked_lm_accuracy"], mono[1] + pair[1], mono[2] + pair[2])
    # [UNK] and punctuation are words; each row rounds its own share.
    words = [sum(len(x) + len(y or []) for x, y in row) for row in MONO_ROWS]
    assert mono[2] == sum(round(RATE * count) for count in words)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (SENTENCE_PAPER, WORD_PAPER),
        (SENTENCE_OTHER, WORD_PAPER),
        (SENTENCE_PAPER, OFFSETS),
    ],
)
def test_sentence_alignment_is_that_of_every_sentence_encoded_alone(
    params, encoder_config, batch, numpy_bert, options, word
):
    loss, hits, weight = naive_scheme.sentence_alignment(numpy_bert, PAIRS, options)
    terms = run(params, batch, encoder_config, (SENTENCES,), options, word)
    assert_term(terms[SENTENCES], loss, weight)
    assert_term(terms["sentence_alignment_accuracy"], hits, weight)


@pytest.mark.parametrize("options", [WORD_PAPER, WORD_STRICT, WORD_SPECIAL])
def test_word_alignment_is_that_of_two_passes_over_every_pair_alone(
    params, encoder_config, batch, numpy_bert, options
):
    losses = [naive_scheme.word_alignment(numpy_bert, x, y, options) for x, y in PAIRS]
    counted = [loss for loss in losses if loss is not None]
    assert len(counted) == len(PAIRS) - (options is WORD_STRICT)
    terms = run(params, batch, encoder_config, (WORDS,), SENTENCE_PAPER, options)
    assert_term(terms[WORDS], sum(counted), len(counted))


@pytest.mark.parametrize("layer", [-1, 1])
@pytest.mark.parametrize("losses", [(WORDS,), LOSSES])
def test_mutual_matches_are_those_of_sides_that_are_read_alone(
    params, encoder_config, batch, numpy_bert, terms, layer, losses
):
    options = dataclasses.replace(WORD_MUTUAL, layer=layer)
    expected = [
        naive_scheme.mutual_matches(numpy_bert, x, y, options) for x, y in PAIRS
    ]
    assert max(expected) > 0.4  # not all are of one word
    results = run(params, batch, encoder_config, losses, SENTENCE_PAPER, options)
    assert_term(results[WORDS], sum(expected), len(PAIRS))
    for name in results.keys() & {SENTENCES, MASKED_LM}:  # the others are as they were
        assert_term(results[name], *terms[name])


def word_loss_of_rows(params, config, kind, options):
    """[B]: the word-alignment loss of every row, each run as a batch of its own."""
    losses = []
    for row in range(len(kind["token_ids"])):
        batch = {"pair": {name: x[row : row + 1] for name, x in kind.items()}}
        terms = run(params, batch, config, (WORDS,), SENTENCE_PAPER, options)
        losses.append(terms[WORDS].total)
    return np.array(losses)


def test_every_position_offset_up_to_the_largest_is_drawn_and_no_other(
    params, encoder_config, pack, numpy_bert
):
    pair = PAIR_ROWS[3][0]
    kind = pack([[pair]] * 24, length=LENGTH)  # the same pair under 24 row numbers
    expected = np.array(
        [
            naive_scheme.word_alignment(numpy_bert, *pair, OFFSETS, offset)
            for offset in range(4)
        ]
    )
    losses = word_loss_of_rows(params, encoder_config, kind, OFFSETS)
    differences = np.abs(losses[:, None] - expected)
    assert differences.min(axis=1).max() < 1e-5
    assert set(differences.argmin(axis=1)) == {0, 1, 2, 3}


def test_offsets_belong_to_rows_whatever_the_batch(params, encoder_config, batch):
    together = run(params, batch, encoder_config, (WORDS,), SENTENCE_PAPER, OFFSETS)
    apart = word_loss_of_rows(params, encoder_config, batch["pair"], OFFSETS)
    np.testing.assert_allclose(together[WORDS].total, apart.sum(), rtol=1e-5)


def test_compiling_changes_no_term(params, encoder_config, batch, terms):
    objective = objective_of(encoder_config, (SENTENCES, WORDS))
    key = jax.random.key(0)
    eager = objective(params, batch, key, train=False, axis_name=None)
    for name in eager:
        assert_term(terms[name], *eager[name])


def test_what_stands_in_the_padding_never_matters(params, encoder_config, batch, terms):
    assert_same_terms(
        run(params, with_filled_padding(batch), encoder_config, LOSSES), terms
    )


def test_lone_texts_among_pairs_are_not_aligned(
    params, encoder_config, batch, pack, terms
):
    paired = [[pair for pair in row if pair[1]] for row in PAIR_ROWS]
    without = batch | {"pair": pack(paired, length=LENGTH)}
    aligned = run(params, without, encoder_config, LOSSES)
    for name in aligned:
        if "alignment" in name:
            assert_term(terms[name], *aligned[name])
    assert terms["tlm"].weight > aligned["tlm"].weight


def test_pairs_cost_the_same_packed_or_in_rows_of_their_own(
    params, encoder_config, pack, terms
):
    apart = {"pair": pack([[pair] for pair in PAIRS], length=LENGTH + 5)}
    aligned = run(params, apart, encoder_config, (SENTENCES, WORDS))
    for name in aligned:
        assert_term(terms[name], *aligned[name])


def test_two_devices_see_the_candidates_and_masks_of_one(
    params, encoder_config, batch, terms
):
    objective = objective_of(encoder_config, LOSSES)

    def on_device(batch):
        key = jax.random.key(0)
        terms = objective(params, batch, key, train=False, axis_name=AXIS)
        return reduce_sum(terms, AXIS)

    spread = jax.tree.map(lambda x: x.reshape(2, -1, *x.shape[1:]), batch)
    everywhere = jax.pmap(on_device, axis_name=AXIS)(spread)
    assert_same_terms(jax.tree.map(lambda x: x[0], everywhere), terms)
