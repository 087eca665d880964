"""Sentence pairs with one label each, as ids: XNLI and PAWS-X."""

from collections.abc import Mapping, Sequence

from amber_jax.data.labeled import Labeled, cut_longest
from amber_jax.datasets.examples import LabeledPair
from amber_jax.tokenization.tokenizer import Tokenizer

_FIRST = [0]  # the place of [CLS], whose vector is classified


def encode_pairs(
    pairs: Sequence[LabeledPair],
    tokenizer: Tokenizer,
    label_ids: Mapping[str, int],
    *,
    max_length: int,
) -> list[Labeled]:
    """Returns the pairs as ids, cut to `max_length` tokens, the longer side first.

    A label that is not in `label_ids` becomes 0: it can be predicted, not trained on.

    Source: google-research/bert, `_truncate_seq_pair` of run_classifier.py.
    """
    sides = [text for pair in pairs for text in (pair.first, pair.second)]
    encoded = tokenizer.encode_batch(sides)
    room = max_length - 2 - tokenizer.special.separators  # [CLS] x [SEP] y [SEP]
    return [
        Labeled(*cut_longest(first, second, room), _FIRST, [label_ids.get(label, 0)])
        for (_, _, label), first, second in zip(
            pairs, encoded[::2], encoded[1::2], strict=True
        )
    ]
