import builtins
import functools

import jax
import jax.extend
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxpr_sizes import sizes_in

from amber_jax.errors import UserError
from amber_jax.search import nearest, score_blocks
from amber_jax.search.nearest import SIMILARITIES, top_k, top_k_both_ways

NEIGHBORS = {"cosine": 0, "dot": 0, "csls": 10, "margin": 4}


def unit(vectors):
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


def all_scores(queries, candidates, similarity, neighbors=0):
    """Every score, [N, M], by the papers' formulas."""
    if similarity == "dot":
        return queries @ candidates.T
    cosines = unit(queries) @ unit(candidates).T
    if similarity == "cosine":
        return cosines
    k = neighbors or NEIGHBORS[similarity]
    of_query = -np.sort(-cosines, axis=1)[:, :k].mean(axis=1, keepdims=True)
    of_candidate = -np.sort(-cosines, axis=0)[:k].mean(axis=0, keepdims=True)
    if similarity == "csls":
        return 2 * cosines - of_query - of_candidate
    return cosines / ((of_query + of_candidate) / 2)


def best(scores, k):
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


def random_sides(rows, others, size, seed=0):
    """Two sides whose cosines are mostly positive, as those of an encoder."""
    random = np.random.default_rng(seed)
    return (
        random.normal(0.7, 1, (rows, size)).astype(np.float32),
        random.normal(0.7, 1, (others, size)).astype(np.float32),
    )


# Rows, candidates, k, block size: blocks of one and k too large; odd ends; blocks
# that are searched by groups.
SHAPES = [(5, 3, 6, 1), (23, 40, 6, 7), (130, 300, 2, 128)]


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize(("rows", "others", "k", "block_size"), SHAPES)
def test_blocks_find_what_sorting_every_score_finds(
    rows, others, k, block_size, similarity
):
    src, tgt = random_sides(rows, others, 16)
    scores = all_scores(src, tgt, similarity)
    both_ways = top_k_both_ways(
        src, tgt, k, similarity=similarity, block_size=block_size
    )
    for neighbors, expected in zip(
        both_ways, (best(scores, k), best(scores.T, k)), strict=True
    ):
        assert (
            neighbors.scores.dtype == np.float32 and neighbors.indices.dtype == np.int32
        )
        np.testing.assert_allclose(neighbors.scores, expected[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(neighbors.indices, expected[1])
    alone = top_k(src, tgt, k, similarity=similarity, block_size=block_size)
    np.testing.assert_array_equal(alone.indices, both_ways[0].indices)
    np.testing.assert_array_equal(alone.scores, both_ways[0].scores)


@settings(max_examples=20)
@given(
    *(st.integers(1, 150), st.integers(1, 150)),
    *(st.sampled_from([1, 3]), st.sampled_from([32, 64]), st.integers(0, 2**32)),
)
def test_equal_scores_go_to_the_lowest_index(rows, others, k, block_size, seed):
    # Whole numbers: every product is exact, and most are equal to many others.
    random = np.random.default_rng(seed)
    src = random.integers(-1, 2, (rows, 4)).astype(np.float32)
    tgt = random.integers(-1, 2, (others, 4)).astype(np.float32)
    both_ways = top_k_both_ways(src, tgt, k, similarity="dot", block_size=block_size)
    scores = src @ tgt.T
    for neighbors, expected in zip(
        both_ways, (best(scores, k), best(scores.T, k)), strict=True
    ):
        np.testing.assert_array_equal(neighbors.scores, expected[0])
        np.testing.assert_array_equal(neighbors.indices, expected[1])


@pytest.mark.parametrize("similarity", ["csls", "margin"])
def test_how_many_neighbors_lower_a_score_is_an_option(similarity):
    src, tgt = random_sides(40, 50, 8)
    defaults = top_k(src, tgt, 1, similarity=similarity)
    same = top_k(src, tgt, 1, similarity=similarity, neighbors=NEIGHBORS[similarity])
    np.testing.assert_array_equal(defaults.scores, same.scores)
    two = top_k(src, tgt, 1, similarity=similarity, neighbors=2)
    expected, order = best(all_scores(src, tgt, similarity, neighbors=2), 1)
    np.testing.assert_allclose(two.scores, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(two.indices, order)


def test_a_hub_is_nearest_by_cosine_and_not_by_csls_or_margin():
    # Both queries lie a little nearer to the hub than to their own candidate.
    src = np.array([[1, 0.5, 0], [1, 0, 0.5]], np.float32)
    hub, own = [1, 0.24, 0.24], [[0.4, 0.6, 0], [0.4, 0, 0.6]]
    tgt = np.array([hub, *own], np.float32)
    chosen = {
        name: top_k(src, tgt, 1, similarity=name, neighbors=2).indices[:, 0].tolist()
        for name in ("cosine", "csls", "margin")
    }
    assert chosen == {"cosine": [0, 0], "csls": [1, 2], "margin": [1, 2]}


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_zero_vectors_score_zero_and_never_nan(similarity):
    src = np.zeros((3, 4), np.float32)
    tgt = np.eye(4, dtype=np.float32)
    for neighbors in top_k_both_ways(src, tgt, 1, similarity=similarity):
        assert neighbors.scores.tolist() == [[0.0]] * len(neighbors.scores)
        assert not neighbors.indices.any()


def test_opposite_vectors_still_rank_by_cosine_under_margin():
    # With so few vectors the mean over the neighbors is not positive.
    vectors = np.array([[1, 0], [-1, 0]], np.float32)
    assert top_k(vectors, vectors, 1, similarity="margin").indices.tolist() == [
        [0],
        [1],
    ]


class Recorder:
    """A matrix on a disk: it can only be sliced, and says how much of it at a time."""

    def __init__(self, vectors):
        self._vectors, self.shape, self.ndim = vectors, vectors.shape, vectors.ndim
        self.most = 0

    def __len__(self):
        return len(self._vectors)

    def __getitem__(self, rows):
        taken = self._vectors[rows]
        self.most = max(self.most, len(taken))
        return taken


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_no_more_than_a_block_of_vectors_is_read_at_a_time(similarity):
    src, tgt = (Recorder(side) for side in random_sides(100, 70, 4))
    top_k_both_ways(src, tgt, 2, similarity=similarity, block_size=16)
    assert (src.most, tgt.most) == (16, 16)


def test_a_memory_map_of_half_precision_will_do(tmp_path):
    src, tgt = (side.astype(np.float16) for side in random_sides(60, 50, 8))
    np.save(tmp_path / "tgt.npy", tgt)
    mapped = np.load(tmp_path / "tgt.npy", mmap_mode="r")
    neighbors = top_k(src, mapped, 3, block_size=32)
    expected, order = best(
        all_scores(*(side.astype(float) for side in (src, tgt)), "cosine"), 3
    )
    np.testing.assert_allclose(neighbors.scores, expected, rtol=1e-5)
    np.testing.assert_array_equal(neighbors.indices, order)


def test_a_million_by_a_million_needs_a_block_of_scores():
    """Whatever N is, the device sees two blocks and their scores."""
    size, width, k = nearest.DEFAULT_BLOCK_SIZE, 768, 4
    block = score_blocks.Block(
        jax.ShapeDtypeStruct((size, width), np.float32),
        jax.ShapeDtypeStruct((size,), np.float32),
        *(jax.ShapeDtypeStruct((), np.int32),) * 2,
    )
    state = jax.eval_shape(lambda: score_blocks.initial_nearest(size, k))
    for similarity in SIMILARITIES:
        traced = jax.make_jaxpr(
            functools.partial(
                score_blocks.merge_blocks, similarity=similarity, striped=False
            )
        )(block, block, state, state)
        assert max(sizes_in(traced.jaxpr)) == size * size


def test_small_sides_of_any_size_share_few_compilations():
    sizes = {nearest._block_rows(rows, 4096) for rows in range(1, 10_000)}
    assert sorted(sizes) == [2**n for n in range(13)]


VECTORS = np.ones((3, 4), np.float32)
MISTAKES = [
    ({"queries": np.ones((3, 5))}, r"\[3, 5\] and \[3, 4\]"),
    ({"queries": np.ones((0, 4))}, r"\[0, 4\] and \[3, 4\]"),
    ({"queries": np.ones(4)}, r"\[4\] and \[3, 4\]"),
    ({"queries": np.full((3, 4), np.nan)}, "NaN"),
    ({"k": 0}, "k is 0"),
    ({"neighbors": -1}, "neighbors is -1"),
    ({"block_size": 0}, "block_size is 0"),
    ({"similarity": "euclid"}, "'euclid', not one of cosine, dot, csls, margin"),
]


@pytest.mark.parametrize(("change", "reason"), MISTAKES)
def test_each_mistake_is_told(change, reason):
    arguments = {"queries": VECTORS, "candidates": VECTORS, "k": 1, **change}
    with pytest.raises(UserError, match=reason):
        top_k(**arguments)


def test_a_missing_faiss_is_told_with_the_extra(monkeypatch):
    there = builtins.__import__

    def without_faiss(name, *args, **kwargs):
        if name == "faiss":
            raise ImportError(name)
        return there(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_faiss)
    with pytest.raises(UserError, match=r"pip install 'amber_jax\[faiss\]'"):
        top_k(VECTORS, VECTORS, 1, index="Flat")


@pytest.mark.parametrize("similarity", ["csls", "margin"])
def test_an_index_is_refused_for_what_is_no_inner_product(similarity):
    with pytest.raises(
        UserError, match=f"{similarity!r} is not one; use index 'exact'"
    ):
        top_k(VECTORS, VECTORS, 1, similarity=similarity, index="Flat")


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_flat_faiss_index_gives_the_same_answer(similarity):
    pytest.importorskip("faiss")
    src, tgt = random_sides(200, 300, 16)
    tgt[150:] = tgt[:150]  # every answer twice
    exact = top_k_both_ways(src, tgt, 4, similarity=similarity)
    flat = top_k_both_ways(src, tgt, 4, similarity=similarity, index="Flat")
    for neighbors, other in zip(exact, flat, strict=True):
        np.testing.assert_allclose(other.scores, neighbors.scores, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(other.indices, neighbors.indices)
        assert other.indices.dtype == np.int32 and other.scores.dtype == np.float32


def test_an_index_of_lists_finds_most_and_leaves_gaps_marked():
    pytest.importorskip("faiss")
    src, tgt = random_sides(50, 200, 8)
    neighbors = top_k(src, tgt, 60, index="IVF16,Flat")
    gaps = neighbors.indices < 0
    assert gaps.any() and (neighbors.scores[gaps] == -np.inf).all()
    exact = top_k(src, tgt, 60)
    assert (
        neighbors.scores[~gaps] <= exact.scores[:, :1].repeat(60, 1)[~gaps] + 1e-5
    ).all()


@pytest.mark.parametrize(("index", "rows"), [("bogus", 3), ("IVF64,Flat", 3)])
def test_an_index_that_cannot_be_built_is_told(index, rows):
    pytest.importorskip("faiss")
    with pytest.raises(UserError, match=f"faiss cannot build index '{index}'"):
        top_k(VECTORS, VECTORS[:rows], 1, index=index)


def test_pairs_have_the_same_score_in_both_directions():
    src, tgt = random_sides(70, 70, 8)
    there, back = top_k_both_ways(src, tgt, 70, similarity="margin", block_size=32)
    scores = np.empty((2, 70, 70), np.float32)
    np.put_along_axis(scores[0], there.indices, there.scores, axis=1)
    np.put_along_axis(scores[1], back.indices, back.scores, axis=1)
    np.testing.assert_array_equal(scores[0], scores[1].T)


@pytest.mark.parametrize("both", [False, True])
def test_stripes_give_the_scores_of_the_whole(both):
    random = np.random.default_rng(4)
    src, tgt = random.normal(size=(2, 1100, 8)).astype(np.float32)
    search = top_k_both_ways if both else lambda *args, **kw: (top_k(*args, **kw),)
    striped, whole = (
        search(src, tgt, 3, similarity="margin", block_size=2048, striped=striped)
        for striped in (True, False)
    )
    for ours, theirs in zip(striped, whole, strict=True):
        np.testing.assert_array_equal(ours.indices, theirs.indices)
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5)
