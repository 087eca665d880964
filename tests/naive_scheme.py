"""The losses without packing and without shared passes, in NumPy.

One sentence, or one pair in one direction, is encoded at a time by `bert`, the
fixture `numpy_bert`; loops spell out the formulas.
"""

import itertools

import numpy as np
from packed_rows import CLS, SEP, VOCABULARY


def sentence_alignment(bert, pairs, options):
    """(loss, hits, weight) over all pairs."""
    src = [_vector(bert, x, options) for x, _ in pairs]
    tgt = [_vector(bert, y, options) for _, y in pairs]
    loss, hits = _ranked(src, tgt, options)
    if options.symmetric:
        other_loss, other_hits = _ranked(tgt, src, options)
        loss, hits = (loss + other_loss) / 2, (hits + other_hits) / 2
    return loss, hits, len(pairs)


def _vector(bert, sentence, options):
    ids = [CLS, *sentence, SEP]
    everything = np.ones((len(ids), len(ids)), bool)
    states = bert(ids, [0] * len(ids), range(len(ids)), everything)[0][-1]
    mean = (states if options.special_tokens else states[1:-1]).mean(0)
    return mean / np.linalg.norm(mean) if options.normalize else mean


def _ranked(queries, candidates, options):
    loss, hits = 0.0, 0
    for i, query in enumerate(queries):
        scores = [
            options.scale * (query @ candidate - options.margin * (i == j))
            for j, candidate in enumerate(candidates)
        ]
        loss += np.log(sum(np.exp(score) for score in scores)) - scores[i]
        hits += scores[i] == max(scores)
    return loss, hits


def word_alignment(bert, x, y, options, offset=0):
    """The loss of one pair, None where a side has no words that count."""
    src, tgt = [CLS, *x, SEP], [*y, SEP]
    # Where the tokens stand in [CLS] x [SEP] y [SEP] and in [CLS] y [SEP] x [SEP].
    src = [(i, i and i + len(tgt)) for i, t in enumerate(src) if _counts(t, options)]
    tgt = [(j + len(x) + 2, j + 1) for j, t in enumerate(tgt) if _counts(t, options)]
    if not src or not tgt:
        return None
    y_to_x, x_to_y = _attention(bert, x, y, offset), _attention(bert, y, x, offset)
    trace = 0.0
    for head in range(len(y_to_x)):
        backward = np.array([[y_to_x[head, q, k] for k, _ in src] for q, _ in tgt])
        forward = np.array([[x_to_y[head, q, k] for _, k in tgt] for _, q in src])
        if options.renormalize:
            backward /= backward.sum(1, keepdims=True)
            forward /= forward.sum(1, keepdims=True)
        for i, j in np.ndindex(forward.shape):
            trace += backward[j, i] * forward[i, j] / len(y_to_x)
    return 1 - trace / min(len(src), len(tgt))


def mutual_matches(bert, x, y, options):
    """The loss of one pair whose sides are read alone; loops over the definition."""
    src, tgt = (
        [
            state
            for token, state in zip(
                side, _alone(bert, side, options.layer), strict=True
            )
            if _counts(token, options)
        ]
        for side in ([CLS, *x, SEP], [CLS, *y, SEP])
    )
    if not src or not tgt:
        return None
    scores = np.array([[a @ b for b in tgt] for a in src])
    forward = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    backward = np.exp(scores) / np.exp(scores).sum(0, keepdims=True)
    agreed = [
        (forward[i, j] + backward[i, j]) / 2
        for i, j in np.ndindex(scores.shape)
        if j == scores[i].argmax() and i == scores[:, j].argmax()
    ]
    return 1 - np.mean(agreed)


def _alone(bert, sentence, layer):
    """The vectors of a layer, of a text with its special tokens."""
    everything = np.ones((len(sentence), len(sentence)), bool)
    zeros = [0] * len(sentence)
    return bert(sentence, zeros, range(len(sentence)), everything)[0][layer]


def _counts(token, options):
    if token in VOCABULARY.special:
        return options.special_tokens
    return options.punctuation or not VOCABULARY.punctuation[token]


def _attention(bert, first, second, offset):
    """Last-layer attention [H, L, L] of [CLS] first [SEP] second [SEP]."""
    ids = [CLS, *first, SEP, *second, SEP]
    begin = len(first) + 2
    sides = [int(place >= begin) for place in range(len(ids))]
    places = [place + offset * side for place, side in enumerate(sides)]
    mask = np.zeros((len(ids), len(ids)), bool)
    for query, key in itertools.product(range(len(ids)), repeat=2):
        mask[query, key] = key < begin or (query >= begin and key < query)
    return bert(ids, sides, places, mask)[1][-1]


def masked_lm(bert, head, row_texts, clean, masked):
    """(loss, hits, weight) of one kind of rows.

    `row_texts` are the literal rows, `clean` their token ids, `masked` what masking
    made of them, and `head` is the fixture `numpy_mlm_head`.
    """
    loss, hits, weight = 0.0, 0, 0
    for row, texts in enumerate(row_texts):
        chosen = masked.mlm_positions[row][masked.mlm_weights[row] > 0]
        start = 0
        for x, y in texts:
            sides = [0] * (len(x) + 2) + [1] * (0 if y is None else len(y) + 1)
            size = len(sides)
            ids = masked.token_ids[row, start : start + size]
            states, _ = bert(ids, sides, range(size), np.ones((size, size), bool))
            logits = head(states[-1])
            for at in chosen[(chosen >= start) & (chosen < start + size)] - start:
                target = clean[row, start + at]
                loss += np.log(np.exp(logits[at]).sum()) - logits[at, target]
                hits += logits[at].argmax() == target
                weight += 1
            start += size
    return loss, hits, weight
