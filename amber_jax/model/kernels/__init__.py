"""Which of several forms of the same arithmetic an encoder runs, and where.

All forms give the same numbers up to rounding. The plain ones run everywhere; what
suits a machine is decided in `inference/devices.py` and handed down as a value.
"""

import dataclasses

FORMS = {
    "attention": ("written", "triton", "mosaic"),
    "layers": ("side_by_side", "loop"),
    "heads": ("apart", "together"),
    "tall_gradients": ("straight", "turned"),
}
"""What every field of `Kernels` may be; the first is the plain one."""


@dataclasses.dataclass(frozen=True)
class Kernels:
    """The forms of an encoder's arithmetic; what is not said is plain."""

    attention: str = "written"
    """Written out, or by a kernel for whatever it takes: ours for Triton, Mosaic's."""
    layers: str = "side_by_side"
    """In the compiled program: a layer after the other, or one that is run in a loop.
    A loop compiles faster and copies what it keeps for the backward pass."""
    heads: str = "apart"
    """Query, key and value by three products, or by one of the kernels together."""
    tall_gradients: str = "straight"
    """A tall kernel's gradient as it is, or made wide and turned when it is finished:
    XLA on the CPU takes half as long for that."""

    def __str__(self) -> str:
        """What a log says of it."""
        fields = dataclasses.asdict(self).items()
        return ", ".join(f"{name} {form}" for name, form in fields)
