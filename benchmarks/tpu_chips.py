"""What the makers say of TPUs: of one chip, bfloat16, bytes and FLOPs a second.

Source: docs.cloud.google.com/tpu/docs/v4, /v5e, /v5p and /v6e, key specifications;
v4's interconnect from Jouppi et al. 2023, arXiv 2304.01433, Table 4.
"""

from typing import NamedTuple


class Chip(NamedTuple):
    """A chip's limits."""

    peak: float  # FLOP/s of bfloat16 products
    bandwidth: float  # bytes/s between HBM and the cores
    memory: float  # bytes of HBM
    interconnect: float  # bytes/s that go to other chips

    @property
    def intensity(self) -> float:
        """FLOPs for every byte from HBM, below which memory is what bounds."""
        return self.peak / self.bandwidth


CHIPS = {
    "v4": Chip(275e12, 1200e9, 32 * 2**30, 300e9),
    "v5e": Chip(197e12, 819e9, 16e9, 200e9),
    "v5p": Chip(459e12, 2765e9, 95e9, 600e9),
    "v6e": Chip(918e12, 1600e9, 32e9, 400e9),
}
