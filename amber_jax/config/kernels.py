"""Forms of the arithmetic of encoders and searches: settings of what runs them."""

from ml_collections import ConfigDict

from amber_jax.model.kernels import FORMS
from amber_jax.ranges import Choice

KERNEL_RANGES = {name: Choice(("", *forms)) for name, forms in FORMS.items()}


def kernels() -> ConfigDict:
    """The defaults: all empty, the forms that suit the devices."""
    return ConfigDict(dict.fromkeys(FORMS, ""))
