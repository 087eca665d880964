"""Which of several forms of the same arithmetic runs, and where.

All forms give the same numbers up to rounding. The plain ones run everywhere; which
ones suit a machine is decided in `inference/devices.py` and handed down as a value.
"""

import dataclasses

FORMS = {
    "attention": ("written", "triton", "mosaic"),
    "layers": ("side_by_side", "loop"),
    "heads": ("apart", "together"),
    "tall_gradients": ("straight", "turned"),
    "products": ("narrow", "wide"),
    "scores": ("whole", "striped"),
    "gelu": ("erfc", "erf"),
}
"""The forms that a field of `Kernels` may name; the first is the plain one."""


@dataclasses.dataclass(frozen=True)
class Kernels:
    """The forms of an encoder's arithmetic and of a search's; plain by default."""

    attention: str = "written"
    """Written out, or by our kernel for Triton or Mosaic, for whatever it takes."""
    layers: str = "side_by_side"
    """In the compiled program: one layer after the other, or one that runs in a loop.
    A loop compiles faster and copies the residuals of the backward pass."""
    heads: str = "apart"
    """Query, key and value by three products, or by one of the kernels together."""
    tall_gradients: str = "straight"
    """A tall kernel's gradient as it is, or made wide and turned when it is finished:
    XLA on the CPU takes half as long for that."""
    products: str = "narrow"
    """A dense layer's product of 16 bits in 16 bits at once, or in 32 first: the CPU's
    matrix units are used for the latter alone."""
    scores: str = "whole"
    """Nearest neighbors' scores of two blocks of vectors by one product, or by stripes
    of rows, which XLA multiplies faster on the CPU."""
    gelu: str = "erfc"
    """The normal distribution's share below a 32-bit number, to the last digit, or, far
    below 0, to seven digits after the point."""

    def __str__(self) -> str:
        """The forms as a log names them."""
        fields = dataclasses.asdict(self).items()
        return ", ".join(f"{name} {form}" for name, form in fields)
