import dataclasses

import jax
import numpy as np
import pytest

from amber_jax.inference.alignment import (
    aligning_params,
    build_aligner,
    build_layer_aligner,
    fitted,
    view_pair,
)
from amber_jax.inference.loading import init_params
from amber_jax.inference.piece_similarity import DOT, Similarity
from amber_jax.tokenization.tokenizer import SpecialTokens

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL = SpecialTokens(PAD, UNK, CLS, SEP, MASK)
PAIRS = [
    ([10, 11, 12], [20, 21, 22, 23, 24]),
    ([13], [25]),
    ([14, 15, 16, 17, 18, 19], [26, 27]),
    ([10, 11, 12], [20, 21, 22, 23, 24]),  # the first once more
    (list(range(5, 23)), list(range(30, 49))),  # as long as the model allows
]
PAIRS_TO_JOIN = ([10, 11, 12], [20, 21])
HOW = [("attention", -1), ("similarity", -1), ("similarity", 0), ("similarity", 1)]


@pytest.fixture(scope="module")
def align(params, encoder_config):
    """A function: pairs to directions, by method and layer."""
    aligners = {
        how: build_aligner(encoder_config, SPECIAL, method=how[0], layer=how[1])
        for how in HOW
    }
    return lambda pairs, how: aligners[how](params, pairs)


def directed_mask(first, second):
    """Who may attend whom: the first side itself, the second also what came before."""
    length = first + second
    mask = np.zeros((length, length), bool)
    for query in range(length):
        for key in range(length):
            mask[query, key] = key < first or (query >= first and key < query)
    return mask


def choice_of_second(numpy_bert, first, second):
    """How the second side's pieces choose among the first's, in NumPy, alone."""
    ids = [CLS, *first, SEP, *second, SEP]
    before = len(first) + 2
    sides = [0] * before + [1] * (len(second) + 1)
    mask = directed_mask(before, len(second) + 1)
    _, attention = numpy_bert(ids, sides, range(len(ids)), mask)
    mean = attention[-1].mean(0)
    probs = mean[before : before + len(second), 1 : 1 + len(first)]
    return probs / probs.sum(1, keepdims=True)


def states_of(numpy_bert, text, layer):
    ids = [CLS, *text, SEP]
    everything = np.ones((len(ids), len(ids)), bool)
    states, _ = numpy_bert(ids, [0] * len(ids), range(len(ids)), everything)
    return states[layer][1:-1]


def softmax(scores):
    exp = np.exp(scores - scores.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


def test_attention_is_that_of_the_directed_passes(align, numpy_bert):
    for (src, tgt), choices in zip(PAIRS, align(PAIRS, HOW[0]), strict=True):
        expected = choice_of_second(numpy_bert, tgt, src)
        np.testing.assert_allclose(choices.src_to_tgt, expected, atol=1e-5)
        expected = choice_of_second(numpy_bert, src, tgt)
        np.testing.assert_allclose(choices.tgt_to_src, expected, atol=1e-5)


@pytest.mark.parametrize("how", HOW[1:])
def test_similarity_is_the_softmax_of_products_at_the_layer(align, numpy_bert, how):
    for (src, tgt), choices in zip(PAIRS, align(PAIRS, how), strict=True):
        x, y = (states_of(numpy_bert, side, how[1]) for side in (src, tgt))
        np.testing.assert_allclose(choices.src_to_tgt, softmax(x @ y.T), atol=1e-4)
        np.testing.assert_allclose(choices.tgt_to_src, softmax(y @ x.T), atol=1e-4)


CENTERED = Similarity("cosine", center=True, context=0.2)


@pytest.mark.parametrize("similarity", [DOT, CENTERED])
def test_a_prompt_is_encoded_but_not_compared(
    params, encoder_config, numpy_bert, similarity
):
    prompt = [50, 51]
    aligner = build_aligner(
        encoder_config,
        SPECIAL,
        method="similarity",
        layer=1,
        similarity=similarity,
        prompt=prompt,
    )
    for src, tgt in (PAIRS[0], PAIRS[2]):
        x, y = (
            states_of(numpy_bert, prompt + side, 1)[len(prompt) :]
            for side in (src, tgt)
        )
        if similarity == DOT:
            expected = softmax(x @ y.T)
        else:
            x, y = (side - side.mean(0) for side in (x, y))
            x, y = (side / np.linalg.norm(side, axis=1)[:, None] for side in (x, y))
            before, behind = np.eye(len(x), k=1), np.eye(len(y), k=1)
            near = (before + before.T) @ (x @ y.T) @ (behind + behind.T)
            expected = (x @ y.T + 0.2 * near + 1) / 2
        (choices,) = aligner(params, [(src, tgt)])
        np.testing.assert_allclose(choices.src_to_tgt, expected, atol=1e-4)


@pytest.mark.parametrize("similarity", [DOT, CENTERED])
def test_all_layers_at_once_give_what_each_gives(params, encoder_config, similarity):
    together = build_layer_aligner(
        encoder_config, SPECIAL, similarity=similarity, prompt=[50]
    )(params, PAIRS[:3])
    assert {len(by_layer) for by_layer in together} == {encoder_config.num_layers + 1}
    for layer in range(encoder_config.num_layers + 1):
        alone = build_aligner(
            encoder_config,
            SPECIAL,
            method="similarity",
            layer=layer,
            similarity=similarity,
            prompt=[50],
        )(params, PAIRS[:3])
        for by_layer, expected in zip(together, alone, strict=True):
            for probs, other in zip(by_layer[layer], expected, strict=True):
                np.testing.assert_allclose(probs, other, atol=1e-5)


@pytest.mark.parametrize("how", HOW)
def test_many_pairs_together_give_what_each_gives_alone(align, how):
    rng = np.random.default_rng(0)
    pairs = [
        tuple(rng.integers(5, 60, count).tolist() for count in rng.integers(1, 18, 2))
        for _ in range(60)
    ]
    together = align(pairs, how)
    for number in (0, 7, 30, 59):
        (alone,) = align([pairs[number]], how)
        for probs, other in zip(alone, together[number], strict=True):
            np.testing.assert_allclose(probs, other, atol=1e-5)


@pytest.mark.parametrize("how", HOW)
def test_choices_are_probabilities_over_the_other_side(align, how):
    for (src, tgt), choices in zip(PAIRS, align(PAIRS, how), strict=True):
        assert choices.src_to_tgt.shape == (len(src), len(tgt))
        assert choices.tgt_to_src.shape == (len(tgt), len(src))
        for probs in choices:
            assert probs.dtype == np.float32 and (probs >= 0).all()
            np.testing.assert_allclose(probs.sum(1), 1, atol=1e-5)


def test_no_pairs_have_no_directions(align):
    assert align([], HOW[0]) == [] == align([], HOW[1])


@pytest.mark.parametrize("method", ["attention", "similarity"])
def test_pairs_of_all_lengths_meet_in_one_call(encoder_config, method):
    config = dataclasses.replace(encoder_config, max_positions=320, num_layers=1)
    params = jax.jit(init_params, static_argnums=0)(config, jax.random.key(1))
    aligner = build_aligner(config, SPECIAL, method=method, layer=-1)
    rng = np.random.default_rng(1)
    pairs = [
        tuple(rng.integers(5, 60, count).tolist() for count in sizes)
        for sizes in ((160, 150), (3, 4), (60, 66))
    ]
    for pair, together in zip(pairs, aligner(params, pairs), strict=True):
        (alone,) = aligner(params, [pair])
        np.testing.assert_allclose(alone.src_to_tgt, together.src_to_tgt, atol=1e-5)
        np.testing.assert_allclose(alone.tgt_to_src, together.tgt_to_src, atol=1e-5)


@pytest.mark.parametrize("method", ["attention", "similarity"])
def test_a_row_may_hold_more_than_the_model_has_positions(align, method):
    # Six pairs of 40 tokens stand in a row of 256; positions begin anew in each.
    choices = align([PAIRS[-1]] * 9, (method, -1))
    for repeated in choices[1:]:
        np.testing.assert_allclose(
            repeated.src_to_tgt, choices[0].src_to_tgt, atol=1e-5
        )


def test_a_pair_is_cut_to_the_positions_that_its_sides_share():
    src, tgt = list(range(10)), list(range(20, 26))
    assert fitted((src, tgt), 19, method="attention") == (src, tgt)
    assert fitted((src, tgt), 15, method="attention") == (src[:6], tgt)
    assert fitted((src, tgt), 10, method="attention") == (src[:4], tgt[:3])


def test_sides_alone_are_cut_alone():
    src, tgt = list(range(10)), list(range(20, 26))
    assert fitted((src, tgt), 12, method="similarity") == (src, tgt)
    assert fitted((src, tgt), 7, method="similarity") == (src[:5], tgt[:5])
    prompted = fitted((src, tgt), 7, method="similarity", prompt_length=2)
    assert prompted == (src[:3], tgt[:3])


@pytest.mark.parametrize("how", HOW[:2])
def test_all_devices_together_align_as_one_does(align, params, encoder_config, how):
    on_all = aligning_params(params)
    assert len(jax.tree.leaves(on_all)[0].devices()) == jax.local_device_count() == 8
    aligner = build_aligner(encoder_config, SPECIAL, method=how[0], layer=how[1])
    single, divided = align(PAIRS * 5, how), aligner(on_all, PAIRS * 5)
    for of_one, of_all in zip(single, divided, strict=True):
        np.testing.assert_allclose(of_all.src_to_tgt, of_one.src_to_tgt, atol=1e-5)
        np.testing.assert_allclose(of_all.tgt_to_src, of_one.tgt_to_src, atol=1e-5)


class Letters:
    """A tokenizer of one piece a character, for what `view_pair` asks of one."""

    special = SPECIAL

    def encode_batch(self, texts):
        return [[ord(character) - ord("a") + 5 for character in t] for t in texts]

    def pieces(self, ids):
        return [chr(i - 5 + ord("a")) for i in ids]


def test_the_view_of_a_pair_shows_the_same_attention(align, params, encoder_config):
    view = view_pair(params, encoder_config, Letters(), "fghi", "abc")
    (choices,) = align([([10, 11, 12, 13], [5, 6, 7])], HOW[0])
    assert (view.src_pieces, view.tgt_pieces) == (list("fghi"), list("abc"))
    for shown, expected in (
        (view.src_to_tgt, choices.src_to_tgt),
        (view.tgt_to_src, choices.tgt_to_src),
    ):
        scaled = shown / shown.sum(1, keepdims=True)
        np.testing.assert_allclose(scaled, expected, atol=1e-5)


def test_the_view_of_a_pair_shows_cosines_of_the_sides_alone(
    params, encoder_config, numpy_bert
):
    view = view_pair(params, encoder_config, Letters(), "fghi", "abc")
    x = states_of(numpy_bert, [10, 11, 12, 13], -1)
    y = states_of(numpy_bert, [5, 6, 7], -1)
    x, y = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y))
    np.testing.assert_allclose(view.similarity, x @ y.T, atol=1e-5)


def test_the_view_of_a_pair_beyond_the_positions_is_of_what_fits(
    params, encoder_config
):
    room = encoder_config.usable_positions - 3  # [CLS] x [SEP] y [SEP]
    view = view_pair(params, encoder_config, Letters(), "f" * (room + 9), "abc")
    assert (len(view.src_pieces), len(view.tgt_pieces)) == (room - 3, 3)
    whole = view_pair(params, encoder_config, Letters(), "f" * (room - 3), "abc")
    np.testing.assert_allclose(view.similarity, whole.similarity, atol=1e-6)
    np.testing.assert_allclose(view.src_to_tgt, whole.src_to_tgt, atol=1e-6)


def test_two_separators_change_attention_as_the_pair_alone_has_it(
    params, encoder_config, numpy_bert
):
    """`<s> x </s></s> y </s>`; the similarity reads each side alone as before."""
    special = SpecialTokens(PAD, UNK, CLS, SEP, MASK, separators=2)
    x, y = PAIRS_TO_JOIN
    aligner = build_aligner(encoder_config, special, method="attention", layer=-1)
    (choices,) = aligner(params, [(x, y)])
    for chosen, (first, second) in (
        (choices.tgt_to_src, (x, y)),
        (choices.src_to_tgt, (y, x)),
    ):
        ids = [CLS, *first, SEP, SEP, *second, SEP]
        before = len(first) + 2
        sides = [0] * before + [1] * (len(second) + 2)
        mask = directed_mask(before, len(second) + 2)
        _, attention = numpy_bert(ids, sides, range(len(ids)), mask)
        rows = attention[-1].mean(0)[before + 1 : before + 1 + len(second)]
        probs = rows[:, 1 : 1 + len(first)]
        np.testing.assert_allclose(
            chosen, probs / probs.sum(1, keepdims=True), atol=1e-5
        )
    once, twice = (
        build_aligner(encoder_config, s, method="similarity", layer=-1)(
            params, [(x, y)]
        )
        for s in (SPECIAL, special)
    )
    np.testing.assert_array_equal(once[0].src_to_tgt, twice[0].src_to_tgt)


@pytest.mark.parametrize("separators", [1, 2])
def test_a_fitted_pair_leaves_room_for_its_separators(separators):
    src, tgt = fitted(
        ([7] * 50, [8] * 50), 20, method="attention", separators=separators
    )
    assert len(src) + len(tgt) + 2 + separators == 20
