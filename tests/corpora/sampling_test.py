"""Smoothed language rates."""

import pytest

from amber_jax.corpora.sampling import smoothed_rates


def test_the_square_root_of_a_hundredfold_is_a_tenfold():
    rates = smoothed_rates({"en": 10_000, "sw": 100}, 0.5)
    assert rates == pytest.approx({"en": 10 / 11, "sw": 1 / 11})


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.7, 1.0])
def test_rates_sum_to_one_and_keep_the_order_of_the_counts(alpha):
    rates = smoothed_rates({"en": 10**12, "fr": 10**6, "sw": 1}, alpha)
    assert sum(rates.values()) == pytest.approx(1)
    assert rates["en"] >= rates["fr"] >= rates["sw"] > 0
