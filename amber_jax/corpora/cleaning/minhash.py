"""How alike two texts are, from 128 numbers of each; rensa computes them.

`pip install 'amber_jax[corpora]'` brings the library.

Source: Broder 1997, "On the resemblance and containment of documents"; Leskovec,
Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3 (bands).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from amber_jax.corpora.cleaning.copies import mixed
from amber_jax.corpora.cleaning.sides import SEQUENCE
from amber_jax.errors import from_extra

PERMUTATIONS = 128
BANDS = 16  # of 8 numbers: texts of resemblance .8 agree in one with probability .95
_SEED = 1
_TEXTS = 256  # at once: the library returns numbers one by one


def minhashes(texts: Sequence[str]) -> np.ndarray:
    """Returns [N, 128] uint16 of which equal ones tell how alike two texts are.

    Compared are the different sequences of 5 characters, whatever their case.

    Raises:
        UserError: the library is not installed.
    """
    rensa = library()
    parts = [np.zeros((0, PERMUTATIONS), np.uint16)]
    for start in range(0, len(texts), _TEXTS):
        batch = [text.casefold() for text in texts[start : start + _TEXTS]]
        hashes, offsets = _sequence_hashes(batch)
        digests = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
            hashes, offsets, PERMUTATIONS, _SEED
        )
        parts.append(np.array(digests.to_rows(), np.uint32).astype(np.uint16))
    return np.concatenate(parts)


def band_keys(hashes: np.ndarray) -> np.ndarray:
    """Returns [16, N] uint64: equal where two texts agree in all numbers of a band."""
    bands = hashes.reshape(len(hashes), BANDS, PERMUTATIONS // BANDS)
    return mixed(bands.transpose(2, 1, 0))


def resemblance(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns [N] float64, the estimated share of sequences that two texts share.

    Its standard error is at most .045, and .035 at .8.
    """
    return (hashes == others).mean(axis=1)


def library() -> Any:
    """Returns the library's module.

    Raises:
        UserError: it is not installed.
    """
    with from_extra("corpora", "near duplicates are found with rensa"):
        import rensa
    return rensa


def _sequence_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the hashes of all sequences [M], and where those of each text begin.

    A text shorter than a sequence has a single one.
    """
    padding = "\0" * SEQUENCE
    joined = padding.join([*texts, ""])
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    windows = np.lib.stride_tricks.sliding_window_view(codes, SEQUENCE)
    hashes = mixed(windows.T)
    lengths = np.array([len(text) for text in texts])
    counts = np.maximum(lengths - SEQUENCE + 1, 1)
    starts = np.cumsum(lengths + SEQUENCE) - lengths - SEQUENCE
    offsets = np.concatenate([[0], np.cumsum(counts)])
    chosen = np.repeat(starts - offsets[:-1], counts) + np.arange(offsets[-1])
    return hashes[chosen], offsets.astype(np.uint64)
