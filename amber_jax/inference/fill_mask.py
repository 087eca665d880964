"""The likeliest pieces in the place of `[MASK]`, or as the vocabulary writes it."""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from amber_jax.errors import UserError
from amber_jax.inference.row_batches import row_width
from amber_jax.model import rows
from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.heads import PretrainingModel
from amber_jax.tokenization.tokenizer import Tokenizer
from amber_jax.types import Array, Params

# Stand-ins for a mask while the text after it is tokenized. One that merges with
# that text, or that the vocabulary does not have, is passed over.
_STAND_INS = ("a", "0", ")")

Filler = Callable[[Params, Array, Array, Array], Array]


def masked_ids(tokenizer: Tokenizer, text: str, max_pieces: int) -> list[int]:
    """The ids of a text, every `[MASK]` in it as the mask's id, no other specials.

    The mask is written as the vocabulary writes it: `<mask>` where XLM-R's is used.
    Text directly after a mask is tokenized as if it followed a word: in
    `Paris is in [MASK].` the period is the one of `France.`, and in `un[MASK]able`
    the last piece does not begin a word. Text before a mask is tokenized as usual:
    whether the masked piece begins a word is for the model to say.

    Raises:
        UserError: there is no mask in the text, or it has more than `max_pieces`.
    """
    (mask,) = tokenizer.pieces([tokenizer.special.mask])
    if not isinstance(text, str) or mask not in text:
        raise UserError(f"filling masks: got {text!r:.80}; wanted a text with {mask}")
    first, *continuations = text.split(mask)
    ids = list(tokenizer.encode(first))
    for part in continuations:
        ids += [tokenizer.special.mask, *_continuation_ids(tokenizer, part)]
    if len(ids) > max_pieces:
        raise UserError(
            f"filling masks: the text has {len(ids)} pieces, and the model places "
            f"{max_pieces}; give a shorter one"
        )
    return ids


def _continuation_ids(tokenizer: Tokenizer, part: str) -> list[int]:
    """The ids of text that follows a mask."""
    if part and not part[0].isspace():
        for stand_in in _STAND_INS:
            prefix = tokenizer.encode(stand_in)
            ids = tokenizer.encode(stand_in + part)
            is_known = tokenizer.special.unk not in prefix
            if is_known and ids[: len(prefix)] == prefix:
                return ids[len(prefix) :]
    return tokenizer.encode(part)


def build_filler(config: EncoderConfig) -> Filler:
    """A compiled function `(params, token_ids, lengths, slots) -> probabilities`.

    The parameters are those of the encoder and the MLM head; token_ids is [B, L]
    int32, a text a row as `[CLS] x [SEP]`, lengths [B] int32 counts its tokens,
    slots is [B, P] int32, and the probabilities of all pieces at these tokens are
    [B, P, V] float32.
    """

    @jax.jit
    def fill(params: Params, token_ids: Array, lengths: Array, slots: Array) -> Array:
        layout = rows.lone_layout(lengths, token_ids.shape[1])
        _, logits = PretrainingModel(config).apply(
            {"params": params},
            token_ids,
            layout.sides,
            layout.position_ids,
            rows.full_attention(layout),
            slots,
        )
        return jax.nn.softmax(logits)

    return fill


def fill_masks(
    filler: Filler, params: Params, tokenizer: Tokenizer, ids: Sequence[int], top_k: int
) -> list[list[tuple[str, float]]]:
    """The likeliest pieces of every mask, with their probabilities, falling.

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
    tokens = np.array([special.cls, *ids, special.sep], np.int32)
    token_ids = np.full((1, row_width(len(tokens))), special.pad, np.int32)
    token_ids[0, : len(tokens)] = tokens
    masks = np.flatnonzero(tokens == special.mask)
    # Few shapes are compiled: widths as of packed rows, counts that are powers of two.
    slots = np.zeros((1, 1 << (len(masks) - 1).bit_length()), np.int32)
    slots[0, : len(masks)] = masks
    lengths = np.array([len(tokens)], np.int32)
    probabilities = np.asarray(filler(params, token_ids, lengths, slots))[0]
    probabilities = probabilities[: len(masks), : tokenizer.vocab_size]
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    return [
        [
            (piece, float(probabilities[mask, piece_id]))
            for piece, piece_id in zip(tokenizer.pieces(row), row, strict=True)
        ]
        for mask, row in enumerate(best)
    ]
