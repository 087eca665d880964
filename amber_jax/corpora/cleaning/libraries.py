"""The libraries that some cleaning needs, looked for before anything is read."""

from amber_jax.corpora.cleaning import identification, minhash
from amber_jax.corpora.cleaning.options import Cleaning


def require_libraries(cleaning: Cleaning) -> None:
    """Raises a `UserError` if a library that a cleaning needs is not installed."""
    if cleaning.language_threshold < 1:
        identification.library()
    if cleaning.near_duplicates:
        minhash.library()
