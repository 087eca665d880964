"""The count of arithmetic: by hand on small rows, and against published sizes."""

import dataclasses

import jax
import numpy as np
import pytest

from amber_jax.model import flops, masking, rows
from amber_jax.model.encoder import EncoderConfig


def config_of(layers, hidden, heads, inner, vocabulary):
    return EncoderConfig(
        vocab_size=vocabulary,
        num_layers=layers,
        hidden_size=hidden,
        num_heads=heads,
        intermediate_size=inner,
        max_positions=512,
        num_segments=2,
        hidden_dropout=0.1,
        attention_dropout=0.1,
        initializer_range=0.02,
        dtype="float32",
        remat=False,
    )


TOY = config_of(2, 3, 1, 5, 7)
SMALL = config_of(4, 256, 4, 1024, 32_000)
BASE = config_of(12, 768, 12, 3072, 119_547)
DENSE = 2 * (4 * 3 * 3 + 2 * 3 * 5)  # of one token in one layer of TOY
SEEN = 2 * 2 * 3  # of one query and key in one layer of TOY
FULL_ROW = np.array([[[128, 0]]])


def test_a_row_of_two_texts_by_hand():
    spans = np.array([[[4, 3], [5, 0]]])  # 7 and 5 tokens; 4 and 3 of them words
    count = flops.masked_lm(TOY, spans, row_length=16, masking_rate=0.3)
    head = 2 * (3 * 3 + 3 * 7)  # and 2 of the 7 words are predicted
    assert count == 3 * (2 * (12 * DENSE + (49 + 25) * SEEN) + 2 * head)


def test_the_directed_passes_by_hand():
    spans = np.array([[[4, 3], [5, 0]]])  # the lone text gives no loss anything
    below = 7 * DENSE + (16 + 12 + 3) * SEEN  # y sees x and what is before it
    exchanged = 7 * DENSE + (16 + 12 + 3) * SEEN  # [CLS] y [SEP] x [SEP]: 4 and 3
    last_of_first = 4 * DENSE + 16 * SEEN
    queries = 2 * 3 * 3 * 3 + 12 * SEEN // 2
    keys = 2 * 4 * 3 * 3
    alone = 2 * (4 * DENSE + 16 * SEEN)

    def count(**losses):
        return flops.directed(TOY, spans, **losses)

    both = below + exchanged + 2 * (last_of_first + queries)
    assert count(sentences=True, words=True) == 3 * both
    words = below + exchanged + 2 * (keys + queries)
    assert count(sentences=False, words=True) == 3 * words
    assert count(sentences=True, words=False) == 3 * 2 * alone
    assert count(sentences=False, words=False) == 0


@pytest.mark.parametrize(
    ("separators", "exchanged"), [(1, [4, 5]), (2, [3, 6]), (3, [2, 7])]
)
def test_the_sides_exchange_with_their_special_tokens(separators, exchanged):
    cost, other = (
        flops.directed(
            TOY,
            np.array([[spans]]),
            sentences=True,
            words=True,
            separators=separators,
        )
        for spans in ([6, 3], exchanged)
    )
    assert cost == other


def test_no_separator_is_predicted():
    spans = np.array([[[6, 5]]])
    assert flops.predicted_tokens(spans, 16, 1.0) == 4 + 4
    assert flops.predicted_tokens(spans, 16, 1.0, separators=2) == 4 + 3


def test_attention_counts_what_the_masks_allow():
    spans = np.array([[[4, 3], [2, 5], [3, 0]], [[9, 2], [0, 0], [0, 0]]])
    place = rows.layout(spans, 20)
    layers = dataclasses.replace(TOY, num_layers=1)
    tokens = int((place.pair_ids > 0).sum())
    seen = int(rows.full_attention(place).dense().sum())
    slots = flops.labeling(
        layers, spans, num_slots=0, num_labels=9, pooled=False, train_from_layer=0
    )
    assert slots == 3 * (tokens * DENSE + seen * SEEN)

    paired = spans * (spans[..., 1:] > 0)
    _, exchanged = rows.swap_order(paired, 20)
    seen = sum(
        int(rows.directed_attention(rows.layout(lengths, 20)).dense().sum())
        for lengths in (paired, exchanged)
    )
    more = [
        flops.directed(
            dataclasses.replace(TOY, num_layers=layers),
            spans,
            sentences=True,
            words=True,
        )
        for layers in (3, 4)
    ]
    assert more[1] - more[0] == 3 * (2 * int(paired.sum()) * DENSE + seen * SEEN)


@pytest.mark.parametrize("rate", [0.05, 0.15, 0.5])
def test_predicted_tokens_are_those_that_masking_chooses(rate):
    random = np.random.default_rng(0)
    spans = random.integers(0, 8, (40, 3, 2))
    spans[..., 0] += np.where(spans.sum(-1) > 0, 2, 0)
    spans[..., 1] *= spans[..., 0] > 0
    place = rows.layout(spans, 64)
    starts = np.asarray(place.position_ids == 0)
    ends = np.diff(np.asarray(place.sides + 2 * place.pair_ids), axis=1, append=0) != 0
    maskable = np.asarray(place.pair_ids > 0) & ~starts & ~ends
    masked = masking.mask_rows(
        np.full((40, 64), 9, np.int32),
        maskable,
        jax.random.split(jax.random.key(0), 40),
        rate=rate,
        mask_id=4,
        words=range(5, 60),
    )
    predicted = flops.predicted_tokens(spans, 64, rate)
    assert predicted == int(masked.mlm_weights.sum())


def test_labels_cost_the_encoder_and_a_small_head():
    spans = np.array([[[4, 3]]])
    layer = 7 * DENSE + 49 * SEEN

    def count(lowest, *, slots=5, labels=9, pooled=False):
        return flops.labeling(
            TOY,
            spans,
            num_slots=slots,
            num_labels=labels,
            pooled=pooled,
            train_from_layer=lowest,
        )

    head = 5 * 2 * 3 * 9
    assert count(0) == 3 * (2 * layer + head)
    classes = count(0, slots=1, pooled=True)
    assert classes == 3 * (2 * layer + 2 * (3 * 3 + 3 * 9))

    inputs = 7 * 2 * 3 * 3 * 3  # of queries, keys and values of one layer
    assert count(1) == 3 * (2 * layer + head) - inputs
    assert count(2) == layer + 3 * (layer + head) - inputs
    assert count(3) == 2 * layer + 2 * head
    pooled, head = 2 * 3 * 3, 2 * 3 * 9
    assert count(3, slots=1, pooled=True) == 2 * layer + 2 * pooled + 3 * head


@pytest.mark.parametrize(
    ("config", "predicted", "per_token"),
    [(SMALL, 20, 28.2e6), (BASE, 20, 610e6), (BASE, 19, 607e6), (BASE, 126, 1078e6)],
)
def test_full_rows_of_bert_cost_what_arithmetic_says(config, predicted, per_token):
    rate = predicted / 126
    count = flops.masked_lm(config, FULL_ROW, row_length=128, masking_rate=rate)
    assert count / 128 == pytest.approx(per_token, rel=0.02 if rate == 1 else 0.01)


def test_all_losses_of_base_cost_less_than_three_passes():
    spans = np.array([[[65, 63]]])
    masked = flops.masked_lm(BASE, spans, row_length=128, masking_rate=0.15)
    aligned = flops.directed(BASE, spans, sentences=True, words=True)
    assert (masked + aligned) / masked == pytest.approx(2.65, rel=0.01)
