"""The objective against the naive scheme: every sentence and pair encoded alone.

The reference never packs a row and never shares a pass: NumPy encodes one sentence,
or one pair in one direction, at a time, and loops spell out the losses.
"""

import dataclasses
import functools
import itertools

import flax.linen as nn
import jax
import numpy as np
import pytest

from amber_jax.model import masking, rows
from amber_jax.model.encoder import Embeddings
from amber_jax.model.heads import PretrainingModel
from amber_jax.objectives import (
    LOSSES,
    MASKED_LM,
    SENTENCES,
    WORDS,
    SentenceAlignment,
    Vocabulary,
    WordAlignment,
    directed_passes,
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


def intercepted(watch, objective, params, batch, *, key=0):
    """The terms; `watch(context, args, result)` may replace what a module returns."""

    def interceptor(next_function, args, kwargs, context):
        return watch(context, args, next_function(*args, **kwargs))

    with nn.intercept_methods(interceptor):
        key = jax.random.key(key)
        return objective(params, batch, key, train=False, axis_name=None)


def assert_same_terms(terms, expected):
    assert terms.keys() == expected.keys()
    for name in terms:
        assert_term(terms[name], *expected[name])


def assert_term(term, expected_total, expected_weight):
    np.testing.assert_allclose(term.total, expected_total, rtol=1e-5, atol=1e-5)
    assert term.weight == expected_weight


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


def masked_rows(kind):
    """What masking makes of rows with the key that `run` gives the objective."""
    clean = kind["token_ids"]
    masked = masking.mask_rows(
        clean,
        ~np.isin(clean, VOCABULARY.special),
        masking.row_keys(jax.random.key(0), kind["row_ids"]),
        rate=RATE,
        mask_id=MASK,
        first_word_id=5,
        vocab_size=60,
    )
    return jax.device_get(masked)


@pytest.fixture(scope="module")
def naive_masked_lm(numpy_bert, numpy_mlm_head):
    """A function: (loss, hits, weight) of one kind of rows, text by text, alone."""

    def masked_lm(kind, row_texts):
        clean, masked = kind["token_ids"], masked_rows(kind)
        loss, hits, weight = 0.0, 0, 0
        for row, texts in enumerate(row_texts):
            chosen = masked.mlm_positions[row][masked.mlm_weights[row] > 0]
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
    terms = run(params, batch, encoder_config, (SENTENCES,), options)
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


OFFSETS = dataclasses.replace(WORD_PAPER, max_position_offset=3)


def word_loss_of_rows(params, config, kind, options):
    """[B]: the word-alignment loss of every row, each run as a batch of its own."""
    losses = []
    for row in range(len(kind["token_ids"])):
        one = {"pair": {name: x[row : row + 1] for name, x in kind.items()}}
        terms = run(params, one, config, (WORDS,), SENTENCE_PAPER, options)
        losses.append(terms[WORDS].total)
    return np.array(losses)


def test_every_position_offset_up_to_the_largest_is_drawn_and_no_other(
    params, encoder_config, pack, naive_words
):
    pair = PAIR_ROWS[3][0]
    kind = pack([[pair]] * 24, length=LENGTH)  # the same pair under 24 row numbers
    expected = np.array([naive_words(*pair, OFFSETS, offset) for offset in range(4)])
    losses = word_loss_of_rows(params, encoder_config, kind, OFFSETS)
    differences = np.abs(losses[:, None] - expected)
    assert differences.min(axis=1).max() < 1e-5
    assert set(differences.argmin(axis=1)) == {0, 1, 2, 3}


def test_offsets_belong_to_rows_whatever_the_batch(params, encoder_config, batch):
    together = run(params, batch, encoder_config, (WORDS,), SENTENCE_PAPER, OFFSETS)
    apart = word_loss_of_rows(params, encoder_config, batch["pair"], OFFSETS)
    np.testing.assert_allclose(together[WORDS].total, apart.sum(), rtol=1e-5)


# The passes.


def places_of_texts(spans):
    """(row, first token, first token of y, end) of every pair and lone text."""
    for row, texts in enumerate(spans.tolist()):
        start = 0
        for first, second in texts:
            if first:
                yield row, start, start + first, start + first + second
            start += first + second


@pytest.fixture(scope="module", params=[0, 3])
def directed(request, params, encoder_config, batch):
    """Both directed passes, second sides where they are and moved by 0 to 3."""
    model = PretrainingModel(encoder_config)
    pair = batch["pair"]
    offsets = np.random.default_rng(0).integers(0, request.param + 1, (4, 3))
    keys = jax.random.key(0), jax.random.key(1)
    passes = jax.jit(
        lambda params, pair, offsets: directed_passes(
            model, params, pair, offsets=offsets, dropout_keys=keys, train=False
        )
    )
    return jax.device_get(passes(params, pair, offsets))


def test_the_directed_passes_of_a_literal_row(directed, batch):
    forward, backward, _ = directed
    assert (forward.token_ids == batch["pair"]["token_ids"]).all()
    assert forward.token_ids[2, :13].tolist() == [
        *[CLS, 30, SEP, CLS, 31, 32, 52, SEP, 33, 34, SEP, PAD, PAD]
    ]
    assert [part[2, :13].tolist() for part in forward.place] == [
        [1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0],
        [0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 0, 0],
    ]
    assert backward.token_ids[2, :13].tolist() == [
        *[CLS, 30, SEP, CLS, 33, 34, SEP, 31, 32, 52, SEP, PAD, PAD]
    ]
    assert [part[2, :13].tolist() for part in backward.place] == [
        [1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0],
        [0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 0, 0],
    ]


def test_sentence_vectors_of_the_passes_are_those_of_retrieval(
    params, encoder_config, batch, directed
):
    embed = build_embedder(encoder_config, Pooling(-1, "mean", special_tokens=False))
    forward, backward, _ = directed
    for side, one_pass in enumerate((forward, backward)):
        token_ids = np.zeros((len(PAIRS), 8), np.int32)
        for row, pair in enumerate(PAIRS):
            token_ids[row, : len(pair[side]) + 2] = [CLS, *pair[side], SEP]
        lengths = np.array([len(pair[side]) + 2 for pair in PAIRS])
        texts = places_of_texts(batch["pair"]["span_lengths"])
        starts = [(row, start) for row, start, middle, end in texts if middle < end]
        vectors = [
            one_pass.hidden_states[row, start + 1 : start + length - 1].mean(0)
            for (row, start), length in zip(starts, lengths, strict=True)
        ]
        expected = embed(params["encoder"], token_ids, lengths)
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


@functools.cache
def masked_ids(config, seed):
    """A compiled (params, batch, key) -> token ids of the masked passes."""
    objective = objective_of(config, (MASKED_LM,), seed=seed)

    def see(params, batch, key):
        seen = []

        def watch(context, args, result):
            if isinstance(context.module, PretrainingModel) and args:
                seen.append(args[0])
            return result

        intercepted(watch, objective, params, batch, key=key)
        return seen

    return jax.jit(see)


def test_masks_follow_their_own_key_and_not_that_of_dropout(
    params, encoder_config, batch
):
    first, again, other = (
        masked_ids(encoder_config, seed)(params, batch, key)
        for seed, key in [(0, 0), (0, 1), (1, 0)]
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
        if isinstance(context.module, PretrainingModel):
            methods.append(context.method_name)
        return result

    objective = objective_of(encoder_config, losses)
    part = {kind: batch[kind] for kind in kinds.split()}
    terms = jax.eval_shape(
        functools.partial(intercepted, watch, objective), params, part
    )
    assert methods.count("__call__") == masked
    assert ("encode" in methods) == directed
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


# What must not matter, and what must.


def test_compiling_changes_no_term(params, encoder_config, batch, terms):
    objective = objective_of(encoder_config, (SENTENCES, WORDS))
    key = jax.random.key(0)
    eager = objective(params, batch, key, train=False, axis_name=None)
    for name in eager:
        assert_term(terms[name], *eager[name])


JUNK = 59


@pytest.fixture(scope="module")
def filled(batch):
    """The batch with a word wherever there was padding."""

    def fill(kind):
        real = rows.layout(kind["span_lengths"], LENGTH).pair_ids > 0
        return kind | {"token_ids": np.where(real, kind["token_ids"], JUNK)}

    return {kind: fill(one) for kind, one in batch.items()}


def test_what_stands_in_the_padding_never_matters(
    params, encoder_config, filled, terms
):
    assert_same_terms(run(params, filled, encoder_config, LOSSES), terms)


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
                token_ids, sides, _ = args
                return result + table[sides, token_ids]
            return result

        terms = intercepted(watch, objective, params, batch)
        return {name: terms[name].total for name in LOSSES}

    zeros = np.zeros((2, VOCABULARY.size, config.hidden_size), np.float32)
    return jax.jit(functools.partial(jax.jacrev(losses), zeros))


@pytest.fixture(scope="module")
def reached(params, encoder_config, filled):
    """Of each loss, the (side, token) that have a gradient; padding is JUNK."""
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
