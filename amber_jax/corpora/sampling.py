"""How often each language is seen: exponentially smoothed rates."""

from collections.abc import Mapping

from amber_jax.ranges import real

ALPHA = real(0, 10)
"""Exponents that counts of any corpus can bear."""


def smoothed_rates(counts: Mapping[str, int], alpha: float) -> dict[str, float]:
    """Returns probabilities p ∝ count^alpha that sum to 1.

        {"en": 10000, "sw": 100}, alpha 0.5     {"en": 0.909..., "sw": 0.0909...}

    Args:
        counts: units of each stream (tokens), all > 0.
        alpha: 1 keeps the natural shares, 0 makes all streams equal.

    Source: Devlin et al., multilingual BERT (alpha 0.7); Hu et al. 2021, section 3.
    """
    weights = {name: float(count) ** alpha for name, count in counts.items()}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}
