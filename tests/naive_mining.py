"""What is mined, from the whole matrix of scores."""

import numpy as np


def mined_pairs(src, tgt, margin, neighbors, threshold=None):
    """(score, row of src, row of tgt) of every pair, the best first, in float64."""
    src, tgt = (
        side / np.linalg.norm(side.astype(float), axis=1, keepdims=True)
        for side in (src, tgt)
    )
    cosine = src @ tgt.T
    means = [
        np.sort(cosines, axis=1)[:, ::-1][:, :neighbors].mean(1)
        for cosines in (cosine, cosine.T)
    ]
    mean = (means[0][:, None] + means[1][None]) / 2
    score = {"ratio": cosine / mean, "distance": cosine - mean, "absolute": cosine}
    score = score[margin]
    pairs = [
        (score[i, j], i, j)
        for i, j in enumerate(score.argmax(1))
        if score[:, j].argmax() == i and (threshold is None or score[i, j] >= threshold)
    ]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1]))
