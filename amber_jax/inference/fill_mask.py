"""What a model expects in the place of `[MASK]`."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax.errors import UserError
from amber_jax.inference.embedding import padded_width
from amber_jax.model import rows
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.heads import PretrainingModel
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.types import Array, Params

MASK = "[MASK]"
# What stands in for a mask while the text after it is tokenised. One that grows
# together with that text, or that the vocabulary does not know, is passed over.
_STAND_INS = ("a", "0", ")")

Filler = Callable[[Params, Array, Array, Array], Array]


def masked_ids(tokenizer: Tokenizer, text: str, max_pieces: int) -> list[int]:
    """Returns the ids of a text, every `[MASK]` in it as the mask's id, no specials.

    What stands directly after a mask is tokenised as what goes on after a word: in
    `Paris is in [MASK].` the full stop is the one of `France.`, and in `un[MASK]able`
    the last piece begins no word. Before a mask nothing is special: whether the piece
    in its place begins a word is for the model to say.

    Raises:
        UserError: there is no mask in the text, or it has more than `max_pieces`.
    """
    if not isinstance(text, str) or MASK not in text:
        raise UserError(f"filling masks: got {text!r:.80}; wanted a text with {MASK}")
    first, *others = text.split(MASK)
    ids = list(tokenizer.encode(first))
    for part in others:
        ids += [tokenizer.special.mask, *_going_on(tokenizer, part)]
    if len(ids) > max_pieces:
        raise UserError(
            f"filling masks: the text has {len(ids)} pieces, and the model places "
            f"{max_pieces}; give a shorter one"
        )
    return ids


def _going_on(tokenizer: Tokenizer, part: str) -> list[int]:
    if part and not part[0].isspace():
        for stand_in in _STAND_INS:
            before = tokenizer.encode(stand_in)
            together = tokenizer.encode(stand_in + part)
            known = tokenizer.special.unk not in before
            if known and together[: len(before)] == before:
                return together[len(before) :]
    return tokenizer.encode(part)


def build_filler(config: EncoderConfig) -> Filler:
    """Returns a compiled `(params, token_ids, lengths, slots) -> probabilities`.

    The parameters are those of the encoder and the MLM head; token_ids is [B, L]
    int32, a text a row as `[CLS] x [SEP]`, lengths [B] int32 counts its tokens,
    slots is [B, P] int32, and the probabilities of all pieces at these tokens are
    [B, P, V] float32.
    """

    @jax.jit
    def fill(params: Params, token_ids: Array, lengths: Array, slots: Array) -> Array:
        spans = jnp.stack([lengths, jnp.zeros_like(lengths)], axis=-1)[:, None]
        place = rows.layout(spans, token_ids.shape[1])
        _, logits = PretrainingModel(config).apply(
            {"params": params},
            token_ids,
            place.sides,
            place.position_ids,
            rows.full_attention(place),
            slots,
        )
        return jax.nn.softmax(logits)

    return fill


def fill_masks(
    filler: Filler, params: Params, tokenizer: Tokenizer, ids: Sequence[int], top_k: int
) -> list[list[tuple[str, float]]]:
    """Returns the likeliest pieces of every mask, with their probabilities, falling.

    A model may have more entries than its tokenizer, as padding; they have no piece and
    are passed over, whatever their probability.

    Args:
        filler: as `build_filler` makes it.
        params: the encoder's and the MLM head's parameters.
        tokenizer: the model's tokenizer.
        ids: as `masked_ids` makes them, two fewer than the model has positions.
        top_k: pieces of a mask.
    """
    special = tokenizer.special
    framed = np.array([special.cls, *ids, special.sep], np.int32)
    token_ids = np.full((1, padded_width(len(framed))), special.pad, np.int32)
    token_ids[0, : len(framed)] = framed
    masks = np.flatnonzero(framed == special.mask)
    # Few shapes are compiled: widths as of the encoder, counts that are powers of two.
    slots = np.zeros((1, 1 << (len(masks) - 1).bit_length()), np.int32)
    slots[0, : len(masks)] = masks
    lengths = np.array([len(framed)], np.int32)
    probabilities = np.asarray(filler(params, token_ids, lengths, slots))[0]
    of_pieces = probabilities[: len(masks), : tokenizer.vocab_size]
    best = np.argsort(-of_pieces, axis=1, kind="stable")[:, :top_k]
    return [
        [
            (piece, float(of_pieces[mask, index]))
            for piece, index in zip(tokenizer.pieces(chosen), chosen, strict=True)
        ]
        for mask, chosen in enumerate(best)
    ]
