"""Which of several forms of the same arithmetic an encoder runs, and where.

All forms give the same numbers up to rounding. The plain ones run everywhere; what
suits a machine is decided once, where devices are known, and handed down as a value.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

FORMS = {
    "attention": ("written", "cudnn", "triton", "mosaic"),
    "layers": ("side_by_side", "loop"),
    "heads": ("apart", "together"),
    "tall_gradients": ("straight", "turned"),
}
"""What every field of `Kernels` may be; the first is the plain one."""
_OLDEST_CAPABILITY = 8.0  # Ampere's, the first with bfloat16


@dataclasses.dataclass(frozen=True)
class Kernels:
    """The forms of an encoder's arithmetic; what is not said is plain."""

    attention: str = "written"
    """Written out, or by a kernel for whatever it takes: cuDNN's, ours for Triton, or
    Mosaic's."""
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


def suited_to(device: Any, wanted: Mapping[str, str] | None = None) -> Kernels:
    """Returns the forms that suit a device.

    Args:
        device: one of the devices that the program runs on, see `jax.devices`.
        wanted: forms that are taken whatever the device is; "" leaves it the choice.
    """
    chosen = {name: form for name, form in (wanted or {}).items() if form}
    return dataclasses.replace(_suited_to(device), **chosen)


def _suited_to(device: Any) -> Kernels:
    if device.platform == "cpu":
        return Kernels(tall_gradients="turned")
    if device.platform == "tpu":
        return Kernels(attention="mosaic", layers="loop", heads="together")
    # Triton's takes less time with dropout than cuDNN's, which has none to use.
    attention = "triton" if _capability(device) >= _OLDEST_CAPABILITY else "written"
    return Kernels(attention=attention, heads="together")


def _capability(device: Any) -> float:
    """Returns what NVIDIA calls the compute capability, 0 on other makers' GPUs."""
    try:
        return float(getattr(device, "compute_capability", "0"))
    except ValueError:
        return 0.0
