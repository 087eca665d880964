"""Choosing and hiding the tokens that the masked language model predicts.

Runs on the device, inside the compiled step: a pure function of the clean row and
the row's own key, so every back end and device count draws the same masks.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from amber_jax.types import Array

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1
"""Shares of the chosen tokens that become [MASK] and a random word; the rest stay.

Source: Devlin et al. 2019, section 3.1.
"""


class MaskedRows(NamedTuple):
    """The input of the masked language model, and its prediction slots."""

    token_ids: Array  # [B, L] int32, after masking
    mlm_positions: Array  # [B, P] int32
    mlm_targets: Array  # [B, P] int32, the original ids there
    mlm_weights: Array  # [B, P] float32, 1 on real slots, 0 on filler


def num_slots(row_length: int, rate: float) -> int:
    """P, the prediction slots that hold any row's share of `rate`."""
    return max(1, math.ceil(row_length * rate))


def row_keys(key: Array, row_ids: Array) -> Array:
    """One key per row, [B] keys, from `row_ids` [B, I] uint32.

    In pretraining the numbers are the row's stream and kind, its epoch and its index,
    so a row is masked anew in every epoch and alike on any number of devices.
    """

    def fold(ids: Array) -> Array:
        folded = key
        for number in ids:
            folded = jax.random.fold_in(folded, number)
        return folded

    return jax.vmap(fold)(row_ids)


def mask_rows(
    token_ids: Array,
    maskable: Array,
    keys: Array,
    *,
    rate: float,
    mask_id: int,
    words: range,
) -> MaskedRows:
    """The rows with 80/10/10 masking and their prediction slots.

    Exactly `round(rate * maskable tokens)` tokens of a row are chosen (at least one
    where any token may be), so the static number of slots never overflows.

    Args:
        token_ids: [B, L] int32, clean.
        maskable: [B, L] bool, false on special tokens and padding.
        keys: [B] keys, one per row.
        rate: share of the maskable tokens to predict; probability.
        mask_id: id of [MASK].
        words: the ids that serve as random words.
    """
    slots = num_slots(token_ids.shape[1], rate)

    def mask_row(ids: Array, maskable: Array, key: Array) -> MaskedRows:
        """[L], [L] -> [L], 3 x [P]."""
        order_key, kind_key, word_key = jax.random.split(key, 3)
        draw = jnp.where(maskable, jax.random.uniform(order_key, ids.shape), 2.0)
        _, positions = jax.lax.top_k(-draw, slots)  # [P], smallest draws first
        count = maskable.sum()
        predicted = jnp.clip(jnp.round(rate * count).astype(jnp.int32), 1, slots)
        is_real = jnp.arange(slots) < jnp.minimum(predicted, count)
        targets = ids[positions]
        kind = jax.random.uniform(kind_key, (slots,))
        word = jax.random.randint(word_key, (slots,), words.start, words.stop)
        hidden = jnp.where(
            kind < MASK_SHARE,
            mask_id,
            jnp.where(kind < MASK_SHARE + RANDOM_SHARE, word, targets),
        )
        masked = ids.at[positions].set(jnp.where(is_real, hidden, targets))
        return MaskedRows(
            token_ids=masked,
            mlm_positions=jnp.where(is_real, positions, 0),
            mlm_targets=jnp.where(is_real, targets, 0),
            mlm_weights=is_real.astype(jnp.float32),
        )

    return jax.vmap(mask_row)(token_ids, maskable, keys)
