"""How much arithmetic the losses need, counted exactly from a batch's real tokens.

Counted: dense layers once per real token; attention once per pair of tokens of which
one may see the other; the masked-LM head once per predicted token. A multiply-add is
2 FLOPs, and training takes 3 times the forward pass: one more product for each
gradient, of the input and of the weight.

Not counted: padding, filler slots, anything computed twice or thrown away, lookups,
LayerNorm, softmax, GELU, dropout, the optimizer, and the two alignment losses behind
the encoder. A share of a chip's peak made from these figures never flatters.
"""

import numpy as np

from amber_jax.model.encoder import EncoderConfig
from amber_jax.model.masking import num_slots

_TRAINING = 3  # forward, gradient of the input, gradient of the weight
_MULTIPLY_ADD = 2


def masked_lm(
    config: EncoderConfig,
    span_lengths: np.ndarray,
    *,
    row_length: int,
    masking_rate: float,
    separators: int = 1,
) -> int:
    """The training FLOPs of pass 1 and its head.

    Args:
        config: the encoder's sizes.
        span_lengths: [B, N, 2] int, tokens of both sides of every pair.
        row_length: L, tokens of a row with its padding.
        masking_rate: share of the tokens to predict; probability.
        separators: those between the sides of a pair.
    """
    predicted = predicted_tokens(span_lengths, row_length, masking_rate, separators)
    square = config.hidden_size**2
    head = square + config.hidden_size * config.vocab_size
    forward = _full_pass(config, span_lengths) + _MULTIPLY_ADD * predicted * head
    return _TRAINING * forward


def directed(
    config: EncoderConfig,
    span_lengths: np.ndarray,
    *,
    sentences: bool,
    words: bool,
    separators: int = 1,
) -> int:
    """The training FLOPs of passes 2 and 3, as far as a loss reads them.

    The sentence loss reads the last layer of the first sides alone. The word loss
    reads all but the last layer of both sides, and of the last the scores of the
    second side's queries with the first side's keys. Texts alone give neither.

    Args:
        config: the encoder's sizes.
        span_lengths: [B, N, 2] int, as pass 2 has them; pass 3 exchanges the sides.
        sentences: whether the sentence-alignment loss is computed.
        words: whether the word-alignment loss is computed.
        separators: those between the sides of a pair.
    """
    if not (sentences or words):
        return 0
    pairs = span_lengths.reshape(-1, 2).astype(np.int64)
    src, tgt = pairs[pairs[:, 1] > 0].T
    moved = 2 - separators
    forward = sum(
        _directed_pass(config, first, second, sentences=sentences, words=words)
        # [CLS] stays in front when the sides change places, and further separators
        # with the second side.
        for first, second in ((src, tgt), (tgt + moved, src - moved))
    )
    return _TRAINING * forward


def labeling(
    config: EncoderConfig,
    span_lengths: np.ndarray,
    *,
    num_slots: int,
    num_labels: int,
    pooled: bool,
    train_from_layer: int,
) -> int:
    """The training FLOPs of fine-tuning with a label head.

    Layers that do not learn need the forward pass alone, and the lowest part that does
    no gradient of its input.

    Args:
        config: the encoder's sizes.
        span_lengths: [B, N, 2] int, as above.
        num_slots: tokens of the batch that get a label.
        num_labels: how many labels there are.
        pooled: whether a dense layer stands before the head.
        train_from_layer: lowest layer that learns; 0 is the embeddings.
    """
    head = config.hidden_size * (num_labels + pooled * config.hidden_size)
    encoder = _full_pass(config, span_lengths)
    total = _TRAINING * (encoder + _MULTIPLY_ADD * num_slots * head)
    kept = max(train_from_layer - 1, 0)  # layers that do not learn
    total -= (_TRAINING - 1) * kept * (encoder // config.num_layers)
    if 0 < train_from_layer <= config.num_layers:
        tokens = int(span_lengths.sum())
        total -= _MULTIPLY_ADD * tokens * 3 * config.hidden_size**2
    elif train_from_layer:
        lowest = config.hidden_size * (config.hidden_size if pooled else num_labels)
        total -= _MULTIPLY_ADD * num_slots * lowest
    return total


def predicted_tokens(
    span_lengths: np.ndarray, row_length: int, masking_rate: float, separators: int = 1
) -> int:
    """How many tokens `masking.mask_rows` chooses in these rows.

    All but [CLS] and the [SEP]s may be chosen; arguments as in `masked_lm`.
    """
    words = np.maximum(span_lengths - np.array([2, separators]), 0).sum((1, 2))  # [B]
    # In float32, as on the device, so that halves round alike.
    wanted = np.round(np.float32(masking_rate) * words.astype(np.float32))
    chosen = np.clip(wanted.astype(np.int64), 1, num_slots(row_length, masking_rate))
    return int(np.minimum(chosen, words).sum())


def _full_pass(config: EncoderConfig, span_lengths: np.ndarray) -> int:
    """Forward FLOPs when every token sees its pair."""
    tokens = span_lengths.sum(-1, dtype=np.int64)
    layer = _layer(config, tokens=int(tokens.sum()), seen=int((tokens**2).sum()))
    return config.num_layers * layer


def _directed_pass(
    config: EncoderConfig,
    first: np.ndarray,
    second: np.ndarray,
    *,
    sentences: bool,
    words: bool,
) -> int:
    """Forward FLOPs; `first` and `second` are the sides' lengths [M]."""
    width = config.hidden_size
    tokens, seen = int(first.sum()), int((first**2).sum())
    crossing = int((first * second).sum())
    top = _layer(config, tokens=tokens, seen=seen) if sentences else 0
    if words:
        keys = 0 if sentences else tokens  # which the sentence loss has already
        queries = int(second.sum())
        top += _MULTIPLY_ADD * ((keys + queries) * width**2 + crossing * width)
        tokens += queries
        seen += crossing + int((second * (second - 1) // 2).sum())
    below = _layer(config, tokens=tokens, seen=seen)
    return (config.num_layers - 1) * below + top


def _layer(config: EncoderConfig, *, tokens: int, seen: int) -> int:
    """Forward FLOPs of a layer; `seen` are the pairs of query and key."""
    width = config.hidden_size
    dense = 4 * width**2 + 2 * width * config.intermediate_size
    attention = 2 * width  # scores, and the mean of the values
    return _MULTIPLY_ADD * (tokens * dense + seen * attention)
