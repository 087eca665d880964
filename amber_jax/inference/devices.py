"""Which forms of the arithmetic suit a machine; nothing below asks it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from amber_jax.errors import UserError
from amber_jax.model.kernels import FORMS, Kernels

_OLDEST_CAPABILITY = 8.0  # Ampere's, the first with bfloat16


def suited_to(device: Any, wanted: Mapping[str, str] | None = None) -> Kernels:
    """The forms that suit a device.

    Args:
        device: one of the devices that the program runs on, see `jax.devices`.
        wanted: forms that are taken whatever the device is; "" leaves it the choice.

    Raises:
        UserError: there is no such form.
    """
    chosen = {name: form for name, form in (wanted or {}).items() if form}
    for name, form in chosen.items():
        if form not in FORMS.get(name, ()):
            forms = "; ".join(f"{name}: {', '.join(of)}" for name, of in FORMS.items())
            raise UserError(f"kernels has {name}={form}; wanted some of {forms}")
    return dataclasses.replace(_suited_to(device), **chosen)


def _suited_to(device: Any) -> Kernels:
    if device.platform == "cpu":
        return Kernels(tall_gradients="turned", scores="striped")
    if device.platform == "tpu":
        return Kernels(attention="mosaic", heads="together")
    attention = "triton" if _capability(device) >= _OLDEST_CAPABILITY else "written"
    return Kernels(attention=attention, heads="together")


def _capability(device: Any) -> float:
    """NVIDIA's compute capability, 0 on other makers' GPUs."""
    try:
        return float(getattr(device, "compute_capability", "0"))
    except ValueError:
        return 0.0
