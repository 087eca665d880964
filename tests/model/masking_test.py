import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amber_jax.model import masking

FIRST_WORD, VOCAB, MASK = 5, 50, 4
LENGTH = 40


@functools.partial(jax.jit, static_argnames="rate")
def _mask_rows(token_ids, maskable, row_ids, rate):
    return masking.mask_rows(
        token_ids,
        maskable,
        masking.row_keys(jax.random.key(7), row_ids),
        rate=rate,
        mask_id=MASK,
        words=range(FIRST_WORD, VOCAB),
    )


def mask_rows(token_ids, maskable, row_ids, rate=0.15):
    return jax.device_get(_mask_rows(token_ids, maskable, row_ids, rate))


def rows_of(counts, seed=0):
    """Rows whose first `counts[row]` tokens are words; special tokens, then padding."""
    rng = np.random.default_rng(seed)
    place = np.arange(LENGTH)[None]
    maskable = place < np.array(counts)[:, None]
    words = rng.integers(FIRST_WORD, VOCAB, (len(counts), LENGTH))
    special = np.where(place % 2, 2, 3) * (place < LENGTH - 3)
    return np.where(maskable, words, special).astype(np.int32), maskable


def ids_of(numbers, *, stream=1, epoch=0):
    return np.array([[stream, epoch, row] for row in numbers], np.uint32)


def chosen_places(masked, row):
    weights = masked.mlm_weights[row]
    return sorted(masked.mlm_positions[row][weights > 0].tolist())


@pytest.fixture(scope="module")
def many():
    """About 100k maskable tokens in 2,700 rows, and what masking made of them."""
    counts = np.random.default_rng(1).integers(34, LENGTH, 2700)
    clean, maskable = rows_of(counts)
    return counts, clean, maskable, mask_rows(clean, maskable, ids_of(range(2700)))


def test_exactly_the_rate_of_every_row_is_chosen():
    counts = list(range(LENGTH + 1))
    clean, maskable = rows_of(counts)
    for rate in (0.15, 0.5):
        masked = mask_rows(clean, maskable, ids_of(counts), rate)
        for row, count in enumerate(counts):
            # At least one where any may be; halves round to even, as in Python.
            wanted = max(1, round(rate * count)) if count else 0
            assert masked.mlm_weights[row].sum() == wanted
            assert len(set(chosen_places(masked, row))) == wanted


def test_a_row_without_words_has_no_target_and_stays():
    clean, maskable = rows_of([0] * 5)
    masked = mask_rows(clean, maskable, ids_of(range(5)))
    assert not masked.mlm_weights.any()
    assert (masked.token_ids == clean).all()


def test_a_row_with_one_word_predicts_it():
    clean, maskable = rows_of([1] * 5)
    masked = mask_rows(clean, maskable, ids_of(range(5)))
    assert [chosen_places(masked, row) for row in range(5)] == [[0]] * 5


@pytest.mark.parametrize("length", [1, 6, 7, 20, 100, 256])
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.15, 0.3, 0.5, 0.99])
def test_the_slots_hold_the_share_of_a_row_full_of_words(length, rate):
    slots = masking.num_slots(length, rate)
    assert max(1, round(rate * length)) <= slots <= length


def test_masking_never_touches_special_tokens_or_padding(many):
    _, clean, maskable, masked = many
    assert (masked.token_ids == clean)[~maskable].all()
    for row in range(0, 2700, 100):
        assert maskable[row][chosen_places(masked, row)].all()


def test_targets_are_the_original_tokens_and_weights_mark_real_slots(many):
    counts, clean, _, masked = many
    weights = masked.mlm_weights
    originals = np.take_along_axis(clean, masked.mlm_positions, axis=1)
    assert set(np.unique(weights)) == {0.0, 1.0}
    assert (weights.sum(1) == np.round(0.15 * counts)).all()
    assert (masked.mlm_targets == np.where(weights, originals, 0)).all()


def test_only_chosen_tokens_change(many):
    _, clean, _, masked = many
    changed = masked.token_ids != clean
    for row in range(0, 2700, 100):
        assert set(np.flatnonzero(changed[row])) <= set(chosen_places(masked, row))


def test_eighty_percent_become_mask_ten_random_ten_stay(many):
    counts, clean, _, masked = many
    assert counts.sum() > 95_000
    real = masked.mlm_weights > 0
    seen = np.take_along_axis(masked.token_ids, masked.mlm_positions, axis=1)[real]
    targets = masked.mlm_targets[real]
    n = len(seen)
    # A random word is the old one once in 45 times. Bounds are four standard
    # deviations of a share of n draws: 0.013 for 0.8 and 0.010 for 0.1.
    same = 0.1 / (VOCAB - FIRST_WORD)
    hidden, kept = (seen == MASK).mean(), (seen == targets).mean()
    assert hidden == pytest.approx(0.8, abs=4 * (0.8 * 0.2 / n) ** 0.5)
    assert kept == pytest.approx(0.1 + same, abs=4 * (0.1 * 0.9 / n) ** 0.5)
    assert 1 - hidden - kept == pytest.approx(
        0.1 - same, abs=4 * (0.1 * 0.9 / n) ** 0.5
    )


def test_random_words_are_all_words_and_nothing_else(many):
    _, clean, _, masked = many
    seen = masked.token_ids
    replaced = seen[(seen != clean) & (seen != MASK)]
    assert set(replaced.tolist()) == set(range(FIRST_WORD, VOCAB))


def test_every_place_is_chosen_equally_often(many):
    masked = many[-1]
    real = masked.mlm_weights > 0
    places = masked.mlm_positions[real]
    times = np.bincount(places)[:34]  # places that may be chosen in all 2,700 rows
    # Five standard deviations of a share of 0.15 of 2,700 draws.
    assert (abs(times / 2700 - 0.15) < 0.035).all()


def test_a_row_is_masked_alike_wherever_it_stands_in_any_batch():
    clean, maskable = rows_of([30, 20, 35, 39, 10])
    row_ids = ids_of([3, 8, 11, 2**31, 2**32 - 1])
    together = mask_rows(clean, maskable, row_ids)
    order = np.array([4, 2, 0])
    apart = mask_rows(clean[order], maskable[order], row_ids[order])
    for whole, part in zip(together, apart, strict=True):
        assert (whole[order] == part).all()


@pytest.mark.parametrize("changed", [{"epoch": 1}, {"stream": 2}])
def test_another_epoch_or_stream_masks_a_row_anew(changed):
    clean, maskable = rows_of([39] * 5)
    first = mask_rows(clean, maskable, ids_of(range(5)))
    second = mask_rows(clean, maskable, ids_of(range(5), **changed))
    same = [chosen_places(first, n) == chosen_places(second, n) for n in range(5)]
    assert sum(same) == 0


def test_row_keys_differ_for_every_number():
    row_ids = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 0]], np.uint32)
    keys = jax.random.key_data(masking.row_keys(jax.random.key(0), row_ids))
    assert len(np.unique(np.asarray(keys), axis=0)) == 4


def test_masking_draws_alike_inside_and_outside_jit():
    clean, maskable = rows_of([30, 1, 0, 5, 39])
    compiled = mask_rows(clean, maskable, ids_of(range(5)))
    eager = _mask_rows.__wrapped__(jnp.array(clean), maskable, ids_of(range(5)), 0.15)
    for array, other in zip(compiled, eager, strict=True):
        assert (array == np.asarray(other)).all()
