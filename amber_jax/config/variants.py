"""Names after the colon of `--config=FILE:VARIANT`."""

from collections.abc import Sequence
from typing import NoReturn

from amber_jax.errors import UserError

VARIANTS = ("mlm", "tlm", "wa", "sa")  # the paper's four rows


def refuse_variant(variant: str, known: Sequence[str]) -> NoReturn:
    """Raises UserError: a config file has no such variant."""
    raise UserError(
        f"config variant {variant!r} is unknown; choose one of {', '.join(known)}, "
        f"as in --config=FILE.py:{known[-1]}"
    )
