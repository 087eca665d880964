import dataclasses
import functools
import itertools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax.model import rows
from amber_jax.model.encoder import (
    Encoder,
    Layer,
    lowest_layers,
)
from amber_jax.model.frozen import at_or_above, without_gradient_below
from amber_jax.model.heads import PretrainingModel
from amber_jax.model.kernels.dropout import row_seeds

LENGTH = 12


def seeds_of(key, rows):
    """The seeds of numbered rows; none without a key."""
    if key is None:
        return None
    return row_seeds(key, np.arange(rows, dtype=np.uint32)[:, None])


@functools.partial(jax.jit, static_argnames="config")
def encode(params, config, *arrays, key=None):
    """Every layer's output, [N + 1, B, L, D], and the last one's, [B, L, D]."""
    output = Encoder(config).apply(
        {"params": params},
        *arrays,
        seeds=seeds_of(key, len(arrays[0])),
        readout=lambda states: states,
    )
    return output.readouts, output.hidden_states


@functools.partial(jax.jit, static_argnames="config")
def in_two_parts(params, config, *arrays):
    """The last layer's output at every second token, and its probabilities."""
    lower, lower_params = lowest_layers(config, params, config.num_layers - 1)
    states = lower.apply({"params": lower_params}, *arrays).hidden_states
    last = jax.tree.map(lambda x: x[-1], params["layers"]["layer"])
    return Layer(config).apply(
        {"params": last},
        states,
        arrays[-1],
        lambda x: x[:, ::2],
        method=Layer.selected_with_probs,
    )


def arrays_of(kind, mask_of):
    """Token, segment and position ids and the mask of packed rows."""
    place = rows.layout(kind["span_lengths"], kind["token_ids"].shape[1])
    return kind["token_ids"], place.sides, place.position_ids, mask_of(place)


@pytest.fixture(scope="module")
def anything(encoder_config):
    """Three rows of arbitrary tokens, segments, positions and pairs."""
    rng = np.random.default_rng(3)
    shape = (3, LENGTH)
    pair_ids = rng.integers(1, 4, shape).astype(np.int32)
    return (
        rng.integers(0, encoder_config.vocab_size, shape).astype(np.int32),
        rng.integers(0, 2, shape).astype(np.int32),
        rng.integers(0, encoder_config.max_positions, shape).astype(np.int32),
        rows.full_attention(rows.Layout(pair_ids, 0 * pair_ids, 0 * pair_ids)),
    )


@pytest.fixture(scope="module")
def outcome(params, encoder_config, anything, numpy_bert):
    """What the encoder and the reference make of these rows."""
    states, last = encode(params["encoder"], encoder_config, *anything)
    chosen, probs = in_two_parts(params["encoder"], encoder_config, *anything)
    *arrays, mask = anything
    reference = [
        numpy_bert(*row) for row in zip(*arrays, np.asarray(mask.dense()), strict=True)
    ]
    return SimpleNamespace(
        states=np.asarray(states),
        last=np.asarray(last),
        chosen=np.asarray(chosen),
        probs=np.asarray(probs),
        reference_states=np.stack([states for states, _ in reference], axis=1),
        reference_probs=np.stack([probs for _, probs in reference], axis=1),
    )


def test_every_layer_agrees_with_bert_in_numpy(outcome):
    assert outcome.states.shape == (3, 3, LENGTH, 16)
    np.testing.assert_allclose(outcome.states, outcome.reference_states, atol=1e-5)


def test_positions_begin_at_the_offset_and_a_side_has_its_segment(
    params, encoder_config, anything
):
    """As XLM-R has it: positions from 2 on, and one segment for both sides."""
    ids, sides, positions, mask = anything
    config = dataclasses.replace(encoder_config, position_offset=2, second_segment=0)
    assert config.usable_positions == encoder_config.max_positions - 2
    positions = positions % config.usable_positions
    states, _ = encode(params["encoder"], config, ids, sides, positions, mask)
    arrays = ids, 0 * sides, positions + 2, mask
    wanted, _ = encode(params["encoder"], encoder_config, *arrays)
    np.testing.assert_array_equal(states, wanted)
    other, _ = encode(params["encoder"], encoder_config, ids, sides, positions, mask)
    assert abs(states - other).max() > 0.1


def test_the_last_layer_is_what_it_says(outcome):
    np.testing.assert_array_equal(outcome.last, outcome.states[-1])


def test_the_last_layer_apart_gives_chosen_tokens_and_its_probabilities(outcome):
    np.testing.assert_allclose(outcome.chosen, outcome.last[:, ::2], atol=1e-5)
    assert outcome.probs.shape == (3, 2, LENGTH, LENGTH)
    assert outcome.probs.dtype == np.float32
    np.testing.assert_allclose(outcome.probs, outcome.reference_probs[-1], atol=1e-5)
    assert abs(outcome.probs - outcome.reference_probs[-2]).max() > 0.1


def test_a_single_layer_has_only_embeddings_below_it(
    params, encoder_config, anything, outcome
):
    config = dataclasses.replace(encoder_config, num_layers=1)
    first = jax.tree.map(lambda x: x[:1], params["encoder"]["layers"])
    chosen, probs = in_two_parts(
        params["encoder"] | {"layers": first}, config, *anything
    )
    np.testing.assert_allclose(chosen, outcome.states[1][:, ::2], atol=1e-5)
    np.testing.assert_allclose(probs, outcome.reference_probs[0], atol=1e-5)


@pytest.mark.parametrize("lowest", range(5))
def test_layers_above_one_are_told_as_hidden_states_count(params, lowest):
    above = at_or_above(params, lowest)
    embeddings = jax.tree.leaves(above["encoder"]["embeddings"])
    layers = jax.tree.leaves(above["encoder"]["layers"])
    heads = jax.tree.leaves({k: v for k, v in above.items() if k != "encoder"})
    assert {bool(leaf) for leaf in embeddings} == {lowest == 0}
    wanted = [layer >= lowest for layer in (1, 2)]
    assert all(leaf.ravel().tolist() == wanted for leaf in layers)
    assert heads and all(heads)
    jax.tree.map(lambda p, m: np.broadcast_to(m, p.shape), params, above)


@pytest.mark.parametrize("lowest", range(5))
def test_gradients_end_below_a_layer_and_are_the_same_above_it(
    params, encoder_config, anything, lowest
):
    def total(params, lowest):
        kept = without_gradient_below(params, lowest)
        output = Encoder(encoder_config).apply({"params": kept["encoder"]}, *anything)
        return jnp.sin(output.hidden_states).sum()

    gradient = jax.jit(jax.grad(total), static_argnums=1)
    whole, part = gradient(params, 0), gradient(params, lowest)
    jax.tree.map(
        lambda w, p, m: np.testing.assert_allclose(p, w * m, rtol=1e-4, atol=1e-5),
        whole["encoder"],
        part["encoder"],
        at_or_above(params, lowest)["encoder"],
    )


def test_masked_tokens_get_no_attention_and_rows_sum_to_one(outcome, anything):
    masked = np.broadcast_to(~anything[3].dense()[:, None], outcome.probs.shape)
    assert (outcome.probs[masked] == 0).all()
    np.testing.assert_allclose(outcome.probs.sum(-1), 1, atol=1e-6)


def test_layers_are_read_out_only_when_asked(params, encoder_config, anything):
    output = jax.eval_shape(
        lambda: Encoder(encoder_config).apply({"params": params["encoder"]}, *anything)
    )
    assert output.readouts is None
    assert output.hidden_states.shape == (3, LENGTH, 16)


def test_a_token_that_may_attend_nothing_is_finite(params, encoder_config, anything):
    token_ids, segments, positions, mask = anything
    states, _ = encode(
        params["encoder"],
        encoder_config,
        token_ids,
        segments,
        positions,
        jax.tree.map(np.zeros_like, mask),
    )
    assert np.isfinite(states).all()


PAIRS = [([10, 11, 12], [20, 21]), ([13], [22, 23, 24]), ([14, 15], [25])]


@pytest.mark.parametrize("mask_of", [rows.full_attention, rows.directed_attention])
def test_packed_pairs_are_encoded_as_if_alone(params, encoder_config, pack, mask_of):
    kind = pack([PAIRS, *([pair] for pair in PAIRS)], length=26)
    arrays = arrays_of(kind, mask_of)
    together, *apart = encode(params["encoder"], encoder_config, *arrays)[0].swapaxes(
        0, 1
    )
    start = 0
    for spans, alone in zip(kind["span_lengths"][0], apart, strict=True):
        length = spans.sum()
        np.testing.assert_allclose(
            together[:, start : start + length], alone[:, :length], atol=1e-5
        )
        start += length


@pytest.mark.parametrize("mask_of", [rows.full_attention, rows.directed_attention])
def test_padding_never_changes_a_token(params, encoder_config, pack, mask_of):
    packed = [PAIRS[:2], PAIRS[:1], PAIRS[1:], PAIRS[2:]]
    tight, loose = (
        encode(params["encoder"], encoder_config, *arrays_of(kind, mask_of))[0]
        for kind in (pack(packed, length=16), pack(packed, length=26))
    )
    real = pack(packed, length=16)["token_ids"] > 0
    np.testing.assert_allclose(tight[:, real], loose[:, :, :16][:, real], atol=1e-5)


def test_a_directed_token_sees_the_first_side_and_what_came_before(
    params, encoder_config, pack
):
    y = [20, 21, 22, 23, 24, 25, 26, 27]
    changed_y, changed_x = [*y[:1], 30, *y[2:]], [12]
    kind = pack([[([11], y)], [([11], changed_y)], [(changed_x, y)]], length=LENGTH)
    arrays = arrays_of(kind, rows.directed_attention)
    last = encode(params["encoder"], encoder_config, *arrays)[1]
    moved = np.asarray(last != last[:1]).any(-1)
    # [CLS] x [SEP] y1 y2 ...: y2, by the residual stream, and what comes after it.
    assert moved[1].tolist() == [False] * 4 + [True] * 8
    assert moved[2].all()


@functools.partial(jax.jit, static_argnames="config")
def loss_and_gradient(params, config, *arrays):
    def loss(params):
        seeds = seeds_of(jax.random.key(1), len(arrays[0]))
        output = Encoder(config).apply({"params": params}, *arrays, seeds=seeds)
        return jnp.sin(output.hidden_states).sum(), output

    return jax.value_and_grad(loss, has_aux=True)(params)


def test_remat_changes_neither_values_nor_gradients(params, encoder_config, anything):
    config = dataclasses.replace(
        encoder_config, hidden_dropout=0.2, attention_dropout=0.1
    )
    saving = dataclasses.replace(config, remat=True)
    plain = loss_and_gradient(params["encoder"], config, *anything)
    saved = loss_and_gradient(params["encoder"], saving, *anything)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
        plain,
        saved,
    )


def test_dropout_acts_in_training_only_and_depends_on_its_key(
    params, encoder_config, anything
):
    config = dataclasses.replace(
        encoder_config, hidden_dropout=0.3, attention_dropout=0.3
    )
    run = functools.partial(encode, params["encoder"], config, *anything)
    key, other_key = jax.random.key(1), jax.random.key(2)
    quiet = encode(params["encoder"], encoder_config, *anything)[1]
    np.testing.assert_array_equal(run()[1], quiet)
    first, again = run(key=key)[1], run(key=key)[1]
    np.testing.assert_array_equal(first, again)
    assert abs(first - quiet).max() > 0.1
    assert abs(first - run(key=other_key)[1]).max() > 0.1


def test_every_dropout_of_every_layer_drops_units_of_its_own(
    params, encoder_config, anything
):
    config = dataclasses.replace(encoder_config, hidden_dropout=0.5)

    def kept(block):
        """[2 layers, B, L, D]: which units that block's dropout let through."""
        layers = jax.tree.map(np.zeros_like, params["encoder"]["layers"])
        layer = layers["layer"]
        layer["attention_norm"]["scale"] += 1
        layer["output_norm"]["scale"] += 1
        # A bias this large leaves nothing but its own dropout after LayerNorm.
        (layer["attention"] if block == "attention" else layer)["output"]["bias"] += 1e4
        silent = params["encoder"] | {"layers": layers}
        return encode(silent, config, *anything, key=jax.random.key(0))[0][1:] > 0

    masks = [*kept("attention"), *kept("feed-forward")]
    assert [float(abs(mask.mean() - 0.5) < 0.1) for mask in masks] == [1.0] * 4
    for mask, other in itertools.combinations(masks, 2):
        assert 0.4 < (mask == other).mean() < 0.6


def test_bfloat16_keeps_parameters_and_statistics_in_float32(
    params, encoder_config, anything, outcome
):
    config = dataclasses.replace(encoder_config, dtype="bfloat16")
    fresh = jax.eval_shape(
        lambda: Encoder(config).init(jax.random.key(0), *anything)["params"]
    )
    assert {x.dtype for x in jax.tree.leaves(fresh)} == {np.dtype("float32")}
    states, last = encode(params["encoder"], config, *anything)
    assert last.dtype == jnp.bfloat16
    # bfloat16 has 8 bits of mantissa: 0.4 % an operation on numbers of about one.
    difference = abs(np.asarray(states, np.float32) - outcome.reference_states)
    assert difference.mean() < 0.02
    _, probs = in_two_parts(params["encoder"], config, *anything)
    assert probs.dtype == jnp.bfloat16
    wide = np.asarray(probs, np.float32)
    np.testing.assert_allclose(wide.sum(-1), 1, atol=0.01)
    assert abs(wide - outcome.reference_probs[-1]).mean() < 0.01


def test_base_has_the_parameters_of_mbert_but_for_the_pooler(encoder_config):
    """mBERT counts 178,565,115 with its MLM head; ours lacks the pooler of 590,592.

    The pooler, a dense layer on [CLS], served next-sentence prediction, which AMBER
    does not have.
    """
    hidden, vocab = 768, 119_547
    config = dataclasses.replace(
        encoder_config,
        vocab_size=vocab,
        num_layers=12,
        hidden_size=hidden,
        num_heads=12,
        intermediate_size=3072,
        max_positions=512,
    )
    ids = np.zeros((1, 4), np.int32)
    mask = rows.full_attention(rows.layout(np.array([[[4, 0]]]), 4))
    model = PretrainingModel(config)
    shapes = jax.eval_shape(model.init, jax.random.key(0), ids, ids, ids, mask, ids)
    counts = {
        part: sum(leaf.size for leaf in jax.tree.leaves(tree))
        for part, tree in shapes["params"].items()
    }
    dense = hidden * hidden + hidden
    assert counts == {
        "encoder": 177_262_848,
        "mlm_head": dense + 2 * hidden + vocab,  # transform, LayerNorm, bias
    }
    assert sum(counts.values()) == 178_565_115 - dense == 177_974_523
