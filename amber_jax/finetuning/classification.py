"""Sentence pairs with one label each: XNLI and PAWS-X."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from amber_jax.data.labelled import MAX_PAIRS, Labelled, cut_longest
from amber_jax.datasets.examples import LabelledPair
from amber_jax.datasets.sentence_pairs import is_translated
from amber_jax.evaluation import scores
from amber_jax.tokenization.tokenizer import Tokenizer

_SPECIAL_TOKENS = 3  # [CLS] x [SEP] y [SEP]
_FIRST = [0]  # the place of [CLS], whose vector is classified


def encode_pairs(
    pairs: Sequence[LabelledPair],
    tokenizer: Tokenizer,
    label_ids: Mapping[str, int],
    *,
    max_length: int,
) -> list[Labelled]:
    """Returns the pairs as ids, cut to `max_length` tokens, the longer side first.

    A label that is not in `label_ids` becomes 0: it can be predicted, not trained on.

    Source: google-research/bert, `_truncate_seq_pair` of run_classifier.py.
    """
    sides = [text for pair in pairs for text in (pair.first, pair.second)]
    encoded = tokenizer.encode_batch(sides)
    room = max_length - _SPECIAL_TOKENS
    return [
        Labelled(*cut_longest(first, second, room), _FIRST, [label_ids.get(label, 0)])
        for (_, _, label), first, second in zip(
            pairs, encoded[::2], encoded[1::2], strict=True
        )
    ]


def decode_pairs(
    predicted: Sequence[Sequence[int]], labels: Sequence[str]
) -> list[str]:
    """Returns the label of each pair."""
    return [labels[one] for (one,) in predicted]


def score_pairs(
    pairs: Sequence[LabelledPair], predicted: Sequence[str]
) -> dict[str, float]:
    """Returns {"accuracy": share}."""
    return {"accuracy": scores.accuracy([pair.label for pair in pairs], predicted)}


def score_paraphrases(
    pairs: Sequence[LabelledPair], predicted: Sequence[str]
) -> dict[str, float]:
    """Returns {"accuracy": XTREME's share, "translated": share without NS}.

    XTREME counts the pairs that PAWS-X's translators left out; the second share is of
    the pairs that they translated.

    Raises:
        UserError: the two differ in length, or no pair is translated.

    Source: google-research/xtreme, evaluate.py.
    """
    both = [
        (pair, label)
        for pair, label in zip(pairs, predicted, strict=True)
        if is_translated(pair)
    ]
    return {
        **score_pairs(pairs, predicted),
        "translated": scores.accuracy(
            [pair.label for pair, _ in both], [label for _, label in both]
        ),
    }


def learned_by_counting(train: Sequence[LabelledPair]) -> dict[str, Any]:
    """Returns what baselines take from training examples: nothing."""
    del train
    return {}


def baselines(
    counted: Mapping[str, Any], test: Sequence[LabelledPair]
) -> dict[str, list[str]]:
    """Returns what knows nothing of a text: the test's own most frequent label."""
    del counted
    most_frequent = Counter(pair.label for pair in test).most_common(1)[0][0]
    return {"majority": [most_frequent] * len(test)}


def num_slots(row_length: int) -> int:
    """Returns how many labels a row holds at most."""
    del row_length
    return MAX_PAIRS
