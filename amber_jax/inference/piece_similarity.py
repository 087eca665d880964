"""How alike the pieces of two sides are, by their contextual vectors."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from amber_jax.types import Array


class Similarity(NamedTuple):
    """How the vectors of two pieces are compared."""

    measure: str = "dot"  # or "cosine"
    center: bool = False  # subtract the mean of each side's vectors first
    context: float = 0.0  # weight c of the neighbors, see `similarities`

    def choices(self, products: np.ndarray) -> np.ndarray:
        """How strongly each piece of a row chooses those of the columns, from 0 to 1.

        Of dot products the softmax over the columns, of cosines (cosine + 1) / 2;
        with a context this is no longer bounded.

        Source: of the softmax, Dou and Neubig 2021 (awesome-align); of the other,
        Jalili Sabet et al. 2020 (SimAlign).

        Args:
            products: [X, Y] float32, as `similarities` gives them.
        """
        if self.measure == "cosine":
            return (products + 1) / 2
        powers = np.exp(products - products.max(1, keepdims=True))
        return powers / np.maximum(powers.sum(1, keepdims=True), 1e-9)


DOT = Similarity()


def similarities(
    states: Array, side_ids: Array, how: Similarity, *, prompt_length: int = 0
) -> Array:
    """The similarities of all tokens of a row, [B, L, D] -> [B, L, L] float32.

    With a context c, s[i, j] becomes
    s[i, j] + c (s[i-1, j-1] + s[i-1, j+1] + s[i+1, j-1] + s[i+1, j+1]):
    translations stand beside translations. Neighbors beyond a side's ends count
    nothing; nor do special tokens, here and in the mean of `center`.

    Args:
        states: [B, L, D], their vectors.
        side_ids: [B, L] int32, the same number in a side's [CLS] x [SEP], 0 elsewhere.
        how: they are compared.
        prompt_length: the first pieces of each side that are like special tokens.
    """
    states = states.astype(jnp.float32)
    # No row is one side alone, so its first and last token differ in side.
    before, behind = (jnp.roll(side_ids, shift, axis=1) for shift in (1, -1))
    is_piece = (side_ids > 0) & (side_ids == before) & (side_ids == behind)  # [B, L]
    for _ in range(prompt_length):
        is_piece &= jnp.roll(is_piece, 1, axis=1)
    if how.center:
        together = side_ids[:, :, None] == side_ids[:, None, :]
        shares = (together & is_piece[:, None, :]).astype(jnp.float32)  # [B, L, L]
        shares /= jnp.maximum(shares.sum(-1, keepdims=True), 1)
        states -= jnp.einsum("bqs,bsd->bqd", shares, states, precision="highest")
    if how.measure == "cosine":
        lengths = jnp.linalg.norm(states, axis=-1, keepdims=True)
        states /= jnp.where(lengths > 0, lengths, 1)
    if how.context:
        # The product of the sums of two pieces' neighbors is the sum of their four.
        pieces = jnp.where(is_piece[..., None], states, 0)
        neighbors = jnp.roll(pieces, 1, axis=1) + jnp.roll(pieces, -1, axis=1)
        weighted = math.sqrt(how.context) * neighbors
        states = jnp.concatenate([states, weighted], axis=-1)
    # Accelerators would round to fewer bits, and a softmax follows.
    return jnp.einsum("bqd,bsd->bqs", states, states, precision="highest")
