"""Word links of SimAlign's and awesome-align's own functions on the same vectors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from awesome_align import modeling
from awesome_align.configuration_bert import BertConfig
from simalign.simalign import SentenceAligner

from amber_jax.inference.alignment import Directions
from amber_jax.inference.piece_similarity import Similarity
from amber_jax.inference.word_links import word_links

GOLDEN = Path(__file__).parents[2] / "tests" / "data" / "word_links.jsonl"
CLS, SEP, OTHER = 2, 3, 9


def links_of(pieces, src_words, tgt_words):
    """The links of words, as both tools make them of a matrix of pieces."""
    pairs = np.argwhere(np.asarray(pieces) > 0)
    return {(src_words[i], tgt_words[j]) for i, j in pairs}


def simalign(src, tgt):
    """The matrices of its "inter" and its "itermax"."""
    similarity = SentenceAligner.get_similarity(src, tgt)
    forward, backward = SentenceAligner.get_alignment_matrix(similarity)
    return forward * backward, SentenceAligner.iter_max(similarity)


def awesome_align(src, tgt, threshold):
    """The matrix of its softmax extraction."""
    modeling.PAD_ID, modeling.CLS_ID, modeling.SEP_ID = 0, CLS, SEP
    ids = [torch.tensor([[CLS, *[OTHER] * len(side), SEP]]) for side in (src, tgt)]
    states = [torch.tensor(np.pad(side, ((1, 1), (0, 0))))[None] for side in (src, tgt)]
    head = modeling.BertGuideHead(BertConfig())
    return head(*states, *ids, softmax_threshold=threshold)[0, 0, 1:-1, 1:-1]


def test_the_golden_rows_are_the_tools_own():
    for line in GOLDEN.read_text("utf-8").splitlines():
        row = json.loads(line)
        sides = [np.asarray(row[side], np.float32) for side in ("src", "tgt")]
        inter, itermax = simalign(*sides)
        matrices = {
            "simalign inter": inter,
            "simalign itermax": itermax,
            "awesome-align 0.001": awesome_align(*sides, 0.001),
            "awesome-align 0.1": awesome_align(*sides, 0.1),
        }
        for name, matrix in matrices.items():
            expected = links_of(matrix, row["src_words"], row["tgt_words"])
            assert set(map(tuple, row[name])) == expected


@pytest.mark.parametrize("seed", range(100))
def test_links_are_those_of_the_tools(seed):
    rng = np.random.default_rng(seed)
    src, tgt = (
        rng.normal(size=(count, 16)).astype(np.float32)
        for count in rng.integers(1, 30, 2)
    )
    words = [np.sort(rng.integers(0, 9, len(side))).tolist() for side in (src, tgt)]
    inter, itermax = simalign(src, tgt)
    lengths = [np.linalg.norm(side, axis=1)[:, None] for side in (src, tgt)]
    for measure, products, expected in (
        ("cosine", (src / lengths[0]) @ (tgt / lengths[1]).T, (inter, itermax)),
        ("dot", src @ tgt.T, (awesome_align(src, tgt, 0.001),)),
    ):
        how = Similarity(measure)
        directions = Directions(how.choices(products), how.choices(products.T))
        for symmetrization, matrix in zip(
            ("intersection", "itermax"), expected, strict=False
        ):
            links = word_links(
                directions,
                *words,
                symmetrization=symmetrization,
                threshold=0.001 if measure == "dot" else 0.0,
                level="piece",
            )
            assert links == links_of(matrix, *words)
