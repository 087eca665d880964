"""Which passes the objective runs, what they see, and what their losses reach."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from packed_rows import (
    CLS,
    JUNK,
    PAIRS,
    SEP,
    VOCABULARY,
    compiled,
    intercepted,
    masked_rows,
    objective_of,
    places_of_texts,
    run,
    with_filled_padding,
)

from amber_jax.losses import LOSSES, MASKED_LM, SENTENCES, WORDS
from amber_jax.model.encoder import Embeddings, Layer
from amber_jax.model.heads import PretrainingModel


def test_masks_follow_their_own_key_and_not_that_of_dropout(
    params, encoder_config, batch
):
    @jax.jit
    def masked_ids(mask_key, dropout_key):
        seen = []

        def watch(context, args, result):
            if isinstance(context.module, PretrainingModel) and args:
                seen.append(args[0])
            return result

        objective = objective_of(encoder_config, (MASKED_LM,), mask_key=mask_key)
        intercepted(watch, objective, params, batch, key=dropout_key)
        return seen

    key, other_key = jax.random.key(0), jax.random.key(1)
    first, again, other = (
        masked_ids(*keys) for keys in [(key, key), (key, other_key), (other_key, key)]
    )
    for place, kind in enumerate(("mono", "pair")):
        assert (first[place] == masked_rows(batch[kind]).token_ids).all()
        assert (first[place] == again[place]).all()
        assert (first[place] != other[place]).any(-1).all()


@pytest.mark.parametrize(
    ("losses", "kinds", "masked", "directed", "names"),
    [
        ({MASKED_LM}, "mono", 1, False, {"mlm"}),
        ({MASKED_LM}, "pair", 1, False, {"tlm"}),
        ({MASKED_LM}, "mono pair", 2, False, {"mlm", "tlm"}),
        ({SENTENCES}, "mono pair", 0, True, {SENTENCES}),
        ({WORDS}, "mono pair", 0, True, {WORDS}),
        ({SENTENCES, WORDS}, "pair", 0, True, {SENTENCES, WORDS}),
        ({MASKED_LM, WORDS}, "pair", 1, True, {"tlm", WORDS}),
        (set(LOSSES), "mono", 1, False, {"mlm"}),
        (set(LOSSES), "mono pair", 2, True, {"mlm", "tlm", SENTENCES, WORDS}),
    ],
)
def test_only_the_passes_that_a_loss_needs_are_run(
    params, encoder_config, batch, losses, kinds, masked, directed, names
):
    methods = []

    def watch(context, args, result):
        if isinstance(context.module, PretrainingModel | Layer):
            methods.append(context.method_name)
        return result

    objective = objective_of(encoder_config, losses)
    part = {kind: batch[kind] for kind in kinds.split()}
    terms = jax.eval_shape(
        functools.partial(intercepted, watch, objective), params, part
    )
    assert methods.count("mlm_features") == masked
    assert methods.count("selected_with_probs") == directed
    beside = {
        "mlm": {MASKED_LM, "masked_lm_accuracy"},
        "tlm": {MASKED_LM, "masked_lm_accuracy"},
        SENTENCES: {"sentence_alignment_accuracy"},
        WORDS: {"word_alignment_column_share", "word_alignment_diagonal_share"},
    }
    assert terms.keys() == names.union(*(beside[name] for name in names))


def test_terms_are_float32_when_activations_are_bfloat16(params, encoder_config, batch):
    config = dataclasses.replace(encoder_config, dtype="bfloat16")
    terms = jax.eval_shape(compiled(config, LOSSES), params, batch, jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(terms)} == {np.dtype("float32")}


@functools.cache
def reach(config):
    """A compiled (params, batch) -> of each loss, gradients [2, V, D].

    Entry (s, v) is the gradient of the embeddings' output wherever token v stands on
    side s, in whatever pass; the decoder that shares the table has no part in it.
    """
    objective = objective_of(config, LOSSES)

    def losses(table, params, batch):
        def watch(context, args, result):
            if isinstance(context.module, Embeddings):
                token_ids, sides, *_ = args
                return result + table[sides, token_ids]
            return result

        terms = intercepted(watch, objective, params, batch)
        return {name: terms[name].total for name in LOSSES}

    zeros = np.zeros((2, len(VOCABULARY.punctuation), config.hidden_size), np.float32)
    return jax.jit(functools.partial(jax.jacrev(losses), zeros))


@pytest.fixture(scope="module")
def reached(params, encoder_config, batch):
    """Of each loss, the (side, token) that have a gradient; padding is JUNK."""
    filled = with_filled_padding(batch)
    gradients = jax.device_get(reach(encoder_config)(params, filled))
    return {
        name: set(zip(*np.nonzero(np.abs(x).max(-1) > 1e-6), strict=True))
        for name, x in gradients.items()
    }


def test_masked_lm_reaches_every_token_of_a_text_with_a_hidden_word(reached, batch):
    expected = set()
    for kind in batch.values():
        masked = masked_rows(kind)
        for row, start, middle, end in places_of_texts(kind["span_lengths"]):
            slots = masked.mlm_positions[row][masked.mlm_weights[row] > 0]
            if ((start <= slots) & (slots < end)).any():
                tokens = masked.token_ids[row]
                expected |= {(0, token) for token in tokens[start:middle]}
                expected |= {(1, token) for token in tokens[middle:end]}
    assert reached[MASKED_LM] == expected
    assert (0, JUNK) not in expected


def test_sentence_alignment_reaches_both_sentences_each_read_alone(reached):
    """Every sentence is the first side of one pass; lone texts are 13, 14 and 30."""
    words = {word for pair in PAIRS for side in pair for word in side}
    assert reached[SENTENCES] == {(0, token) for token in {CLS, SEP} | words}


def test_word_alignment_reaches_every_word_on_either_side(reached):
    """But not the last [SEP]: nothing attends it, nor is it one of the words."""
    words = {word for pair in PAIRS for side in pair for word in side}
    first = {(0, token) for token in {CLS, SEP} | words}
    assert reached[WORDS] == first | {(1, word) for word in words}


def test_rows_without_any_text_weigh_nothing_and_have_no_gradient(
    params, encoder_config, batch
):
    empty = jax.tree.map(np.zeros_like, batch)
    terms = run(params, empty, encoder_config, LOSSES)
    assert all(term == (0, 0) for term in terms.values())
    for gradient in jax.device_get(reach(encoder_config)(params, empty)).values():
        assert (gradient == 0).all()
