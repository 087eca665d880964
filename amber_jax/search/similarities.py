"""How alike two vectors are, by name: a similarity is one entry here.

No array library is imported, so that settings and reports may name similarities.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

EXACT = "exact"  # the index that misses no neighbor
_SMALLEST_DENSITY = 1e-6  # of "margin"; a zero vector scores 0 with everything


class Similarity(NamedTuple):
    """A score of two vectors, from their product and what lies around both.

    The density of a vector is its mean cosine with its nearest vectors of the other
    side: hubs, which are near to everything, have a high one.
    """

    unit_vectors: bool  # whether the product is of vectors scaled to length 1
    neighbors: int  # in a density, as the paper has it; 0: no densities
    score: Callable[[Any, Any], Any]  # (products, sums of both densities) -> scores

    @property
    def is_product(self) -> bool:
        """Whether an index of inner products finds its nearest neighbors."""
        return not self.neighbors


# Source: "csls": Conneau et al. 2018, "Word Translation Without Parallel Data";
# "margin": Artetxe & Schwenk 2019, "Margin-based Parallel Corpus Mining".
SIMILARITIES = {
    "cosine": Similarity(True, 0, lambda products, _: products),
    "dot": Similarity(False, 0, lambda products, _: products),
    "csls": Similarity(True, 10, lambda products, densities: 2 * products - densities),
    "margin": Similarity(
        True,
        4,
        lambda products, densities: (
            products / (densities / 2).clip(min=_SMALLEST_DENSITY)
        ),
    ),
}
