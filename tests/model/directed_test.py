"""Passes 2 and 3: what they see, what they give, and that sharing changes nothing."""

import dataclasses

import jax
import numpy as np
import pytest
from packed_rows import CLS, LENGTH, PAD, PAIR_ROWS, PAIRS, SEP, build_batch

from amber_jax.inference.embedding import build_embedder, parts_to_embed
from amber_jax.model.directed import directed_passes
from amber_jax.model.sentence_vector import SentenceVector

N = 3  # pairs that a row may hold


@pytest.fixture(scope="module")
def pair(pack):
    return build_batch(pack)["pair"]


def run(config, params, pair, **switches):
    offsets = switches.pop("offsets", np.zeros((4, N), np.int32))
    settings = {"dropout_key": None, "both_cls": False} | switches
    return jax.device_get(
        jax.jit(
            lambda params, pair, offsets: directed_passes(
                config,
                params["encoder"],
                pair,
                offsets=offsets,
                **settings,
            )
        )(params, pair, offsets)
    )


@pytest.fixture(scope="module")
def directed(params, encoder_config, pair):
    return run(encoder_config, params, pair, both_cls=True)


def places_of_pairs():
    """(row, number in the row, [CLS], x, y) of every pair, y behind its x."""
    for row, pairs in enumerate(PAIR_ROWS):
        start = 0
        for number, (x, y) in enumerate(pairs):
            if y is not None:
                src = start + 1 + np.arange(len(x))
                tgt = start + len(x) + 2 + np.arange(len(y))
                yield row, number, start, src, tgt
            start += len(x) + 2 + (0 if y is None else len(y) + 1)


def test_the_tokens_of_a_literal_row(directed):
    assert directed.token_ids[2, :13].tolist() == [
        *[CLS, 30, SEP, CLS, 31, 32, 52, SEP, 33, 34, SEP, PAD, PAD]
    ]
    assert [part[2, :13].tolist() for part in directed.layout] == [
        [1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0],
        [0, 1, 2, 0, 1, 2, 3, 4, 1, 2, 3, 0, 0],  # where each stood as a first side
    ]
    assert directed.token_ids[2, LENGTH + 1] == CLS  # of [CLS] 33 34 [SEP]
    behind = [part[2, LENGTH:].tolist() for part in directed.layout]
    assert behind[:2] == [[0, 2, 0], [1, 1, 1]] and behind[2][1] == 0


@pytest.mark.parametrize("largest", [0, 3])
def test_each_side_is_encoded_as_if_alone(
    params, encoder_config, pair, numpy_bert, largest
):
    """Wherever its second side stands, and with the [CLS] that it had."""
    offsets = np.random.default_rng(0).integers(0, largest + 1, (4, N))
    directed = run(encoder_config, params, pair, offsets=offsets, both_cls=True)
    for row, number, start, src, tgt in places_of_pairs():
        for side, words in enumerate((src, tgt)):
            cls = start if side == 0 else LENGTH + number
            places = [cls, *words, words[-1] + 1]
            ids = directed.token_ids[row, places]
            assert ids[0] == CLS and ids[-1] == SEP
            assert (directed.layout.sides[row, places] == side).all()
            assert (directed.layout.pair_ids[row, places] == number + 1).all()
            everything = np.ones((len(ids), len(ids)), bool)
            states, _ = numpy_bert(ids, [0] * len(ids), range(len(ids)), everything)
            np.testing.assert_allclose(
                directed.hidden_states[row, places], states[-1], atol=1e-5
            )


def test_further_separators_belong_to_no_side_alone(
    params, encoder_config, numpy_bert, pack
):
    """`<s> x </s></s> y </s>` gives what `<s> x </s>` and `<s> y </s>` give alone."""
    pairs = [([10, 11, 12], [20, 21]), ([13], [22, 23, 24])]
    doubled = [(x, [SEP, *y]) for x, y in pairs]
    batch = pack([doubled], length=LENGTH)
    offsets = np.zeros((1, N), np.int32)
    passes = run(
        encoder_config, params, batch, offsets=offsets, both_cls=True, separators=2
    )
    start = 0
    for number, (x, y) in enumerate(pairs):
        tgt = start + len(x) + 3
        places = (
            [*range(start, start + len(x) + 2)],
            [LENGTH + number, *range(tgt, tgt + len(y) + 1)],
        )
        for side, text in enumerate((x, y)):
            of_side = (passes.layout.pair_ids[0] == number + 1) & (
                passes.layout.sides[0] == side
            )
            assert {*np.flatnonzero(of_side)} == {*places[side]}
            ids = [CLS, *text, SEP]
            assert passes.token_ids[0, places[side]].tolist() == ids
            everything = np.ones((len(ids), len(ids)), bool)
            states, _ = numpy_bert(ids, [0] * len(ids), range(len(ids)), everything)
            np.testing.assert_allclose(
                passes.hidden_states[0, places[side]], states[-1], atol=1e-5
            )
        start = tgt + len(y) + 1


def test_sentence_vectors_are_those_of_retrieval(params, encoder_config, directed):
    embed = build_embedder(encoder_config, SentenceVector())
    for side in (0, 1):
        token_ids = np.zeros((len(PAIRS), 8), np.int32)
        for row, pair in enumerate(PAIRS):
            token_ids[row, : len(pair[side]) + 2] = [CLS, *pair[side], SEP]
        span_lengths = np.array([[[len(pair[side]) + 2, 0]] for pair in PAIRS])
        vectors = [
            directed.hidden_states[row, sides[side]].mean(0)
            for row, _, _, *sides in places_of_pairs()
        ]
        expected = embed(parts_to_embed(params), token_ids, span_lengths)[:, 0]
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_attention_is_that_of_two_passes_over_every_pair_alone(directed, numpy_bert):
    for row, _, _, src, tgt in places_of_pairs():
        both_ways = (
            directed.tgt_to_src[row][:, tgt][:, :, src],
            directed.src_to_tgt[row][:, src][:, :, tgt],
        )
        words = directed.token_ids[row, src], directed.token_ids[row, tgt]
        for (first, second), probs in zip((words, words[::-1]), both_ways, strict=True):
            ids = [CLS, *first, SEP, *second, SEP]
            begin = len(first) + 2
            query, key = np.mgrid[: len(ids), : len(ids)]
            mask = (key < begin) | ((query >= begin) & (key < query))
            sides = [int(place >= begin) for place in range(len(ids))]
            attention = numpy_bert(ids, sides, range(len(ids)), mask)[1][-1]
            expected = attention[:, begin:-1, 1 : begin - 1]
            np.testing.assert_allclose(probs, expected, atol=1e-5)


def test_the_rest_of_the_last_layer_runs_on_one_row_of_tokens(
    params, encoder_config, pair, directed
):
    alone = run(encoder_config, params, pair)
    assert alone.hidden_states.shape == (4, LENGTH, 16)
    assert directed.hidden_states.shape == (4, LENGTH + N, 16)
    np.testing.assert_allclose(
        alone.hidden_states, directed.hidden_states[:, :LENGTH], atol=1e-5
    )
    np.testing.assert_array_equal(alone.token_ids, pair["token_ids"])


def test_saving_memory_changes_neither_values_nor_gradients(
    params, encoder_config, pair
):
    config = dataclasses.replace(
        encoder_config, hidden_dropout=0.2, attention_dropout=0.1
    )

    def gradient(config):
        def total(params):
            passes = directed_passes(
                config,
                params["encoder"],
                pair,
                offsets=np.zeros((4, N), np.int32),
                dropout_key=jax.random.key(1),
                both_cls=False,
            )
            words = np.sin(1.0 + np.arange(LENGTH))
            agreed = (passes.tgt_to_src @ passes.src_to_tgt @ words).sum()
            return jax.numpy.sin(passes.hidden_states).sum() + agreed

        return jax.jit(jax.value_and_grad(total))(params)

    plain = gradient(config)
    saving = gradient(dataclasses.replace(config, remat=True))
    jax.tree.map(
        lambda leaf, other: np.testing.assert_allclose(
            leaf, other, rtol=1e-4, atol=1e-4
        ),
        plain,
        saving,
    )
