"""The objective against the naive scheme: every sentence and pair encoded alone.

The reference never packs a row and never shares a pass: NumPy encodes one sentence,
or one pair in one direction, at a time, and loops spell out the losses.
"""

import dataclasses
import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax.model import masking, rows
from amber_jax.model.encoder import Embeddings, Encoder
from amber_jax.objectives import (
    LOSSES,
    MASKED_LM,
    SENTENCES,
    WORDS,
    SentenceAlignment,
    Vocabulary,
    WordAlignment,
    pretraining_objective,
)
from amber_jax.reductions import AXIS, reduce_sum
from amber_jax.tasks.embedding import Pooling, build_embedder

PAD, UNK, CLS, SEP, MASK = range(5)
VOCABULARY = Vocabulary(
    special=(PAD, CLS, SEP, MASK),
    mask_id=MASK,
    size=60,
    punctuation=np.isin(np.arange(60), range(50, 55)),
)
RATE = 0.5
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
    symmetric=False, normalise=False, scale=1.0, margin=0.0, special_tokens=False
)
SENTENCE_OTHER = SentenceAlignment(
    symmetric=True, normalise=True, scale=5.0, margin=0.2, special_tokens=True
)
WORD_PAPER = WordAlignment(
    renormalise=False, special_tokens=False, punctuation=True, max_position_offset=0
)
WORD_STRICT = dataclasses.replace(WORD_PAPER, punctuation=False, renormalise=True)
WORD_SPECIAL = dataclasses.replace(WORD_PAPER, special_tokens=True)


def objective_of(config, losses, sentence=SENTENCE_PAPER, word=WORD_PAPER, seed=0):
    return pretraining_objective(
        config,
        VOCABULARY,
        losses=frozenset(losses),
        masking_rate=RATE,
        mask_key=jax.random.key(seed),
        sentence_alignment=sentence,
        word_alignment=word,
    )


@functools.cache
def compiled(*args, train=False):
    """The jitted objective of `objective_of(*args)`: (params, batch, key) -> terms."""
    return jax.jit(functools.partial(objective_of(*args), train=train, axis_name=None))


def run(params, batch, *args, train=False, key=0):
    terms = compiled(*args, train=train)(params, batch, jax.random.key(key))
    return jax.device_get(terms)


def watched(objective, params, batch, probes=None, *, train=False, key=0):
    """Returns the terms and, of every encoder pass, its arguments and its output.

    `probes` holds for every pass what is added to the output of its embeddings.
    """
    calls = []

    def watch(next_function, args, kwargs, context):
        result = next_function(*args, **kwargs)
        if context.method_name == "__call__":
            if probes is not None and isinstance(context.module, Embeddings):
                result = result + probes[len(calls)]
            if isinstance(context.module, Encoder):
                calls.append((args, result.hidden_states))
        return result

    with nn.intercept_methods(watch):
        terms = objective(
            params, batch, jax.random.key(key), train=train, axis_name=None
        )
    return terms, calls


def assert_same_terms(terms, expected, names=None, tolerance=1e-5):
    assert names or terms.keys() == expected.keys()
    for name in names or terms:
        assert terms[name].weight == pytest.approx(expected[name].weight), name
        np.testing.assert_allclose(
            terms[name].total,
            expected[name].total,
            rtol=tolerance,
            atol=tolerance,
            err_msg=name,
        )


@pytest.fixture(scope="module")
def batch(pack):
    pair, mono = pack(PAIR_ROWS, length=LENGTH), pack(MONO_ROWS, length=LENGTH)
    mono["row_ids"][:, 0] = 0  # another stream
    return {"mono": mono, "pair": pair}


@pytest.fixture(scope="module")
def terms(params, encoder_config, batch):
    return run(params, batch, encoder_config, LOSSES)


# The naive scheme.


@pytest.fixture(scope="module")
def alone(numpy_bert):
    """A function: the last hidden states of [CLS] sentence [SEP]."""

    def encode(sentence):
        ids = [CLS, *sentence, SEP]
        everything = np.ones((len(ids), len(ids)), bool)
        states, _ = numpy_bert(ids, [0] * len(ids), range(len(ids)), everything)
        return states[-1]

    return encode


@pytest.fixture(scope="module")
def naive_sentences(alone):
    """A function: (loss, hits, weight) of sentence alignment over all pairs."""

    def vector(sentence, options):
        states = alone(sentence) if options.special_tokens else alone(sentence)[1:-1]
        mean = states.mean(0)
        return mean / np.linalg.norm(mean) if options.normalise else mean

    def one_way(queries, candidates, options):
        loss, hits = 0.0, 0
        for i, query in enumerate(queries):
            scores = [
                options.scale * (query @ candidate - options.margin * (i == j))
                for j, candidate in enumerate(candidates)
            ]
            loss += np.log(sum(np.exp(score) for score in scores)) - scores[i]
            hits += scores[i] == max(scores)
        return loss, hits

    def alignment(pairs, options):
        src = [vector(x, options) for x, _ in pairs]
        tgt = [vector(y, options) for _, y in pairs]
        loss, hits = one_way(src, tgt, options)
        if options.symmetric:
            other_loss, other_hits = one_way(tgt, src, options)
            loss, hits = (loss + other_loss) / 2, (hits + other_hits) / 2
        return loss, hits, len(pairs)

    return alignment


@pytest.fixture(scope="module")
def naive_words(numpy_bert):
    """A function: the word-alignment loss of one pair, None where it has no words."""

    def attention(first, second, offset):
        """Last-layer attention [H, L, L] of [CLS] first [SEP] second [SEP]."""
        ids = [CLS, *first, SEP, *second, SEP]
        begin = len(first) + 2
        sides = [int(place >= begin) for place in range(len(ids))]
        places = [place + offset * side for place, side in enumerate(sides)]
        mask = np.zeros((len(ids), len(ids)), bool)
        for query, key in itertools.product(range(len(ids)), repeat=2):
            mask[query, key] = key < begin or (query >= begin and key < query)
        return numpy_bert(ids, sides, places, mask)[1][-1]

    def counts(token, options):
        if token in VOCABULARY.special:
            return options.special_tokens
        return options.punctuation or not VOCABULARY.punctuation[token]

    def alignment(x, y, options, offset=0):
        src = [CLS, *x, SEP]
        tgt = [*y, SEP]
        # Where the tokens stand in [CLS] x [SEP] y [SEP] and in [CLS] y [SEP] x [SEP].
        src_places = [(i, i and i + len(tgt)) for i in range(len(src))]
        tgt_places = [(j + len(src), j + 1) for j in range(len(tgt))]
        src_places = [
            p for p, t in zip(src_places, src, strict=True) if counts(t, options)
        ]
        tgt_places = [
            p for p, t in zip(tgt_places, tgt, strict=True) if counts(t, options)
        ]
        if not src_places or not tgt_places:
            return None
        y_to_x, x_to_y = attention(x, y, offset), attention(y, x, offset)
        trace = 0.0
        for head in range(len(y_to_x)):
            backward = np.array(
                [[y_to_x[head, q, k] for k, _ in src_places] for q, _ in tgt_places]
            )
            forward = np.array(
                [[x_to_y[head, q, k] for _, k in tgt_places] for _, q in src_places]
            )
            if options.renormalise:
                backward /= backward.sum(1, keepdims=True)
                forward /= forward.sum(1, keepdims=True)
            for i, j in np.ndindex(forward.shape):
                trace += backward[j, i] * forward[i, j] / len(y_to_x)
        return 1 - trace / min(len(src_places), len(tgt_places))

    return alignment


@pytest.fixture(scope="module")
def naive_masked_lm(numpy_bert, numpy_mlm_head):
    """A function: (loss, hits, weight) of one kind of rows, text by text, alone."""

    def masked_lm(kind, row_texts):
        place = rows.layout(kind["span_lengths"], LENGTH)
        clean = kind["token_ids"]
        masked = masking.mask_rows(
            clean,
            (place.pair_ids > 0) & ~np.isin(clean, VOCABULARY.special),
            masking.row_keys(jax.random.key(0), kind["row_ids"]),
            rate=RATE,
            mask_id=MASK,
            first_word_id=5,
            vocab_size=60,
        )
        loss, hits, weight = 0.0, 0, 0
        for row, texts in enumerate(row_texts):
            real = np.asarray(masked.mlm_weights[row]) > 0
            chosen = np.asarray(masked.mlm_positions[row])[real]
            start = 0
            for x, y in texts:
                sides = [0] * (len(x) + 2) + [1] * (0 if y is None else len(y) + 1)
                length = len(sides)
                here = slice(start, start + length)
                states, _ = numpy_bert(
                    masked.token_ids[row, here],
                    sides,
                    range(length),
                    np.ones((length, length), bool),
                )
                logits = numpy_mlm_head(states[-1])
                for at in chosen[(chosen >= start) & (chosen < start + length)] - start:
                    target = clean[row, start + at]
                    loss += np.log(np.exp(logits[at]).sum()) - logits[at, target]
                    hits += logits[at].argmax() == target
                    weight += 1
                start += length
        return loss, hits, weight

    return masked_lm


def assert_term(term, expected_total, expected_weight):
    np.testing.assert_allclose(term.total, expected_total, rtol=1e-5, atol=1e-5)
    assert term.weight == expected_weight


def test_masked_lm_is_that_of_every_text_encoded_alone(terms, batch, naive_masked_lm):
    mono = naive_masked_lm(batch["mono"], MONO_ROWS)
    pair = naive_masked_lm(batch["pair"], PAIR_ROWS)
    assert_term(terms["mlm"], mono[0], mono[2])
    assert_term(terms["tlm"], pair[0], pair[2])
    assert_term(terms[MASKED_LM], mono[0] + pair[0], mono[2] + pair[2])
    assert_term(terms["masked_lm_accuracy"], mono[1] + pair[1], mono[2] + pair[2])
    # [UNK] and punctuation are words; each row rounds its own share.
    words = [sum(len(x) + len(y or []) for x, y in row) for row in MONO_ROWS]
    assert mono[2] == sum(round(RATE * count) for count in words)


@pytest.mark.parametrize("options", [SENTENCE_PAPER, SENTENCE_OTHER])
def test_sentence_alignment_is_that_of_every_sentence_encoded_alone(
    params, encoder_config, batch, naive_sentences, options
):
    loss, hits, weight = naive_sentences(PAIRS, options)
    terms = run(params, batch, encoder_config, LOSSES, options)
    assert_term(terms[SENTENCES], loss, weight)
    assert_term(terms["sentence_alignment_accuracy"], hits, weight)


@pytest.mark.parametrize("options", [WORD_PAPER, WORD_STRICT, WORD_SPECIAL])
def test_word_alignment_is_that_of_two_passes_over_every_pair_alone(
    params, encoder_config, batch, naive_words, options
):
    losses = [naive_words(x, y, options) for x, y in PAIRS]
    counted = [loss for loss in losses if loss is not None]
    assert len(counted) == len(PAIRS) - (options is WORD_STRICT)
    terms = run(params, batch, encoder_config, (WORDS,), SENTENCE_PAPER, options)
    assert_term(terms[WORDS], sum(counted), len(counted))


def test_every_position_offset_up_to_the_largest_is_drawn_and_no_other(
    params, encoder_config, batch, naive_words
):
    options = dataclasses.replace(WORD_PAPER, max_position_offset=3)
    x, y = PAIR_ROWS[3][0]
    expected = [naive_words(x, y, options, offset) for offset in range(4)]
    many = {
        "token_ids": np.tile(batch["pair"]["token_ids"][3:], (1, 1)),
        "span_lengths": batch["pair"]["span_lengths"][3:],
    }
    drawn = set()
    for row in range(24):
        many["row_ids"] = np.array([[1, 0, row]], np.uint32)
        terms = run(
            params,
            {"pair": many},
            encoder_config,
            (WORDS,),
            SENTENCE_PAPER,
            options,
        )
        differences = np.abs(np.array(expected) - terms[WORDS].total)
        assert differences.min() < 1e-5
        drawn.add(int(differences.argmin()))
    assert drawn == {0, 1, 2, 3}
