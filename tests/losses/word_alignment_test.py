import jax
import numpy as np
import pytest

from amber_jax.losses.word_alignment import mutual_matches, word_alignment

alignment = jax.jit(word_alignment, static_argnames="renormalize")
matches = jax.jit(mutual_matches)


def in_rows(pairs, *, length=None, heads=1):
    """Puts pairs of matrices into one row, each pair's x before its y.

    `pairs` holds (A_{y->x} [.., |y|, |x|], A_{x->y} [.., |x|, |y|]), with a leading
    axis of heads if there are several. Returns the first four arguments of
    `word_alignment` with B = 1.
    """
    sizes = [(b.shape[-1], b.shape[-2]) for b, _ in pairs]
    length = length or sum(m + n for m, n in sizes)
    backward = np.zeros((1, heads, length, length), np.float32)
    forward = np.zeros_like(backward)
    src = np.zeros((1, len(pairs), length), bool)
    tgt = np.zeros_like(src)
    start = 0
    for pair, ((y_to_x, x_to_y), (m, n)) in enumerate(zip(pairs, sizes, strict=True)):
        x, y = slice(start, start + m), slice(start + m, start + m + n)
        backward[0, :, y, x], forward[0, :, x, y] = y_to_x, x_to_y
        src[0, pair, x], tgt[0, pair, y] = True, True
        start += m + n
    return backward, forward, src, tgt


def loss_of(*pairs, heads=1, renormalize=False):
    terms = alignment(*in_rows(pairs, heads=heads), renormalize=renormalize)
    return float(terms.loss.total) / float(terms.loss.weight)


def shares_of(pair, renormalize=False):
    terms = alignment(*in_rows([pair]), renormalize=renormalize)
    return float(terms.column_share.total), float(terms.diagonal_share.total)


def uniform(m, n):
    return np.full((n, m), 1 / m), np.full((m, n), 1 / n)


def random_pair(rng, m, n, heads=1):
    """Attention whose rows leave some mass for tokens that do not count."""
    y_to_x, x_to_y = rng.random((heads, n, m)), rng.random((heads, m, n))
    return tuple(a / (a.sum(-1, keepdims=True) + 0.5) for a in (y_to_x, x_to_y))


def reference(y_to_x, x_to_y):
    """Loops over the definition; matrices [H, |y|, |x|] and [H, |x|, |y|]."""
    heads, n, m = y_to_x.shape
    agreed = np.zeros((m, n))
    for h in range(heads):
        for i in range(m):
            for j in range(n):
                agreed[i, j] += y_to_x[h, j, i] * x_to_y[h, i, j] / heads
    near = sum(agreed[i, j] for i in range(m) for j in range(n) if abs(i - j) <= 1)
    trace = agreed.sum()
    return 1 - trace / min(m, n), agreed.sum(1).max() / trace, near / trace


# The test vectors: permutation, uniform, all on token 1, perfect 1:2, cyclic.


@pytest.mark.parametrize("seed", range(3))
def test_the_same_permutation_both_ways_costs_nothing(seed):
    permutation = np.eye(5)[np.random.default_rng(seed).permutation(5)]
    assert loss_of((permutation, permutation.T)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("m", "n", "expected"), [(5, 5, 0.8), (4, 9, 0.75), (9, 4, 0.75), (20, 30, 0.95)]
)
def test_uniform_attention_costs_one_minus_one_over_the_shorter(m, n, expected):
    assert loss_of(uniform(m, n)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("m", "n"), [(5, 5), (4, 9)])
def test_everything_on_the_first_token_costs_as_much_as_uniform_attention(m, n):
    y_to_x, x_to_y = np.zeros((n, m)), np.zeros((m, n))
    y_to_x[:, 0], x_to_y[:, 0] = 1, 1
    assert loss_of((y_to_x, x_to_y)) == pytest.approx(1 - 1 / min(m, n), abs=1e-6)


def test_three_words_that_become_two_each_cost_nothing():
    y_to_x = np.repeat(np.eye(3), 2, axis=0)
    x_to_y = np.repeat(np.eye(3), 2, axis=1) / 2
    assert loss_of((y_to_x, x_to_y)) == pytest.approx(0, abs=1e-6)


def test_a_cyclic_permutation_costs_nothing():
    """The literal tr(A^T B) of the two square matrices would be 0, the loss 1."""
    x_to_y = np.eye(4)[[1, 2, 3, 0]]
    y_to_x = np.eye(4)[[3, 0, 1, 2]]
    assert np.trace(x_to_y @ y_to_x) == 4
    assert np.trace(x_to_y.T @ y_to_x) == 0
    assert loss_of((y_to_x, x_to_y)) == pytest.approx(0, abs=1e-6)
    assert loss_of((x_to_y, x_to_y)) == pytest.approx(1, abs=1e-6)


def test_no_attention_to_the_other_side_costs_one():
    assert loss_of((np.zeros((3, 2)), np.zeros((2, 3)))) == 1


def test_random_attention_agrees_with_the_loops():
    rng = np.random.default_rng(0)
    pair = random_pair(rng, 3, 5, heads=4)
    terms = alignment(*in_rows([pair], heads=4), renormalize=False)
    np.testing.assert_allclose([term.total for term in terms], reference(*pair), 1e-5)
    assert [term.weight for term in terms] == [1, 1, 1]


def test_heads_are_averaged_after_the_product():
    """Each head is sure of another pair of words; neither agrees with the other."""
    same, crossed = np.eye(2), np.eye(2)[::-1]
    agreeing = np.stack([same, crossed]), np.stack([same, crossed])
    at_odds = np.stack([same, crossed]), np.stack([crossed, same])
    assert loss_of(agreeing, heads=2) == pytest.approx(0, abs=1e-6)
    assert loss_of(at_odds, heads=2) == pytest.approx(1, abs=1e-6)


def test_packed_pairs_cost_what_they_cost_alone():
    rng = np.random.default_rng(1)
    pairs = [random_pair(rng, m, n, heads=2) for m, n in [(3, 4), (1, 2), (5, 2)]]
    together = alignment(*in_rows(pairs, length=20, heads=2), renormalize=False)
    alone = [reference(*pair) for pair in pairs]
    for term, values in zip(together, zip(*alone, strict=True), strict=True):
        np.testing.assert_allclose(term.total, sum(values), rtol=1e-5)
        assert term.weight == 3


@pytest.mark.parametrize("renormalize", [False, True])
def test_attention_outside_a_pairs_counted_words_never_counts(renormalize):
    rng = np.random.default_rng(2)
    pairs = [random_pair(rng, 3, 4), random_pair(rng, 2, 2)]
    clean = in_rows(pairs, length=14)
    backward, forward, src, tgt = clean
    between = np.einsum("bnq,bns->bqs", tgt.astype(int), src.astype(int))[:, None] > 0
    noise = rng.random(backward.shape).astype(np.float32)
    leaky = (
        np.where(between, backward, noise),
        np.where(between.swapaxes(2, 3), forward, noise),
        src,
        tgt,
    )
    for term, other in zip(
        alignment(*clean, renormalize=renormalize),
        alignment(*leaky, renormalize=renormalize),
        strict=True,
    ):
        np.testing.assert_allclose(term.total, other.total, rtol=1e-6)
        assert term.weight == other.weight


def test_uncounted_words_shorten_their_side():
    """Of five words with uniform attention, the last two of x do not count."""
    backward, forward, src, tgt = in_rows([uniform(5, 5)])
    src[0, 0, 3:5] = False
    terms = alignment(backward, forward, src, tgt, renormalize=False)
    # Three columns of 1/5 . 1/5 against five rows, over the three that count.
    assert float(terms.loss.total) == pytest.approx(1 - 15 / 25 / 3, abs=1e-6)
    terms = alignment(backward, forward, src, tgt, renormalize=True)
    # Now 1/3 one way, still 1/5 the other.
    assert float(terms.loss.total) == pytest.approx(1 - 1 / 3, abs=1e-6)


def test_renormalized_rows_sum_to_one():
    rng = np.random.default_rng(3)
    y_to_x, x_to_y = random_pair(rng, 3, 5, heads=2)
    whole = [a / a.sum(-1, keepdims=True) for a in (y_to_x, x_to_y)]
    expected = reference(*whole)
    terms = alignment(*in_rows([(y_to_x, x_to_y)], heads=2), renormalize=True)
    np.testing.assert_allclose([term.total for term in terms], expected, rtol=1e-5)
    assert abs(expected[0] - reference(y_to_x, x_to_y)[0]) > 0.1


def test_column_share_is_the_heaviest_source_words_part():
    y_to_x, x_to_y = np.zeros((4, 4)), np.zeros((4, 4))
    y_to_x[:, 2], x_to_y[2] = 1, 0.25
    assert shares_of((y_to_x, x_to_y))[0] == pytest.approx(1)
    assert shares_of((np.eye(4), np.eye(4)))[0] == pytest.approx(0.25)
    # All of x on one word of y is no column of the source.
    assert shares_of(uniform(5, 3))[0] == pytest.approx(0.2)


def test_diagonal_share_is_the_part_at_most_one_place_apart():
    shifted = np.roll(np.eye(5), 1, axis=1)  # i -> i + 1, and the last to the first
    far = np.roll(np.eye(5), 2, axis=1)
    assert shares_of((np.eye(5), np.eye(5)))[1] == pytest.approx(1)
    assert shares_of((shifted, shifted.T))[1] == pytest.approx(0.8)
    assert shares_of((far, far.T))[1] == pytest.approx(0, abs=1e-6)
    assert shares_of(uniform(5, 5))[1] == pytest.approx(13 / 25)


def test_places_on_the_diagonal_are_counted_without_uncounted_words():
    """[CLS]-like words before and between do not shift a side against the other."""
    length = 12
    backward = np.zeros((1, 1, length, length), np.float32)
    forward = np.zeros_like(backward)
    x, y = [1, 3, 5, 6], [8, 9, 10, 11]  # of which 2 and 4 do not count
    backward[0, 0, y, x], forward[0, 0, x, y] = 1, 1
    src, tgt = np.zeros((2, 1, 1, length), bool)
    src[0, 0, x], tgt[0, 0, y] = True, True
    terms = alignment(backward, forward, src, tgt, renormalize=False)
    assert float(terms.diagonal_share.total) == pytest.approx(1)


@pytest.mark.parametrize("renormalize", [False, True])
def test_pairs_that_lack_a_side_do_not_count(renormalize):
    backward, forward, src, tgt = in_rows([uniform(3, 3), uniform(2, 2), uniform(2, 3)])
    tgt[0, 1], src[0, 2] = False, False

    def total(backward, forward):
        return alignment(backward, forward, src, tgt, renormalize=renormalize)

    for term in total(backward, forward):
        assert term.weight == 1
    assert float(total(backward, forward).loss.total) == pytest.approx(2 / 3)
    gradients = jax.grad(lambda *a: total(*a).loss.total, (0, 1))(backward, forward)
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        assert (gradient[0, 0, 6:] == 0).all()


def test_a_row_without_pairs_weighs_nothing_and_has_finite_gradients():
    zeros, nobody = np.zeros((1, 2, 4, 4), np.float32), np.zeros((1, 3, 4), bool)

    def total(x):
        return alignment(x, zeros, nobody, nobody, renormalize=True)

    assert all(term == (0, 0) for term in total(zeros))
    assert not jax.grad(lambda x: total(x).loss.total)(zeros).any()


def products_in_a_row(*pairs):
    """Similarities [|x|, |y|] as the arguments of `mutual_matches`, B = 1."""
    backward, _, src, tgt = in_rows([(scores.T, scores) for scores in pairs])
    return backward[:, 0], src, tgt


def loss_of_matches(*pairs):
    terms = matches(*products_in_a_row(*pairs))
    return float(terms.loss.total) / float(terms.loss.weight)


@pytest.mark.parametrize("seed", range(3))
def test_sure_mutual_matches_cost_nothing_whatever_the_rest(seed):
    rng = np.random.default_rng(seed)
    scores = 100.0 * np.eye(6)[rng.permutation(6)][:4]
    assert loss_of_matches(scores) == pytest.approx(0, abs=1e-6)


def test_equal_similarities_are_no_way_out():
    assert loss_of_matches(np.zeros((5, 5))) == pytest.approx(0.8)


def test_only_matches_of_both_directions_count():
    """Source token 1 likes target 0 best, which prefers source 0."""
    scores = np.array([[2.0, 0.0], [1.0, 0.0]])
    forward = np.exp(2) / (np.exp(2) + 1)
    backward = np.exp(2) / (np.exp(2) + np.exp(1))
    expected = 1 - (forward + backward) / 2
    assert loss_of_matches(scores) == pytest.approx(expected, abs=1e-6)


def test_pairs_of_a_row_do_not_see_each_other():
    rng = np.random.default_rng(0)
    scores, other = rng.normal(size=(3, 4)), rng.normal(size=(5, 2))
    apart = (loss_of_matches(scores) + loss_of_matches(other)) / 2
    assert loss_of_matches(scores, other) == pytest.approx(apart, abs=1e-6)


def test_a_gradient_step_makes_matches_surer():
    scores, src, tgt = products_in_a_row(np.random.default_rng(0).normal(size=(4, 5)))

    def loss(scores):
        return mutual_matches(scores, src, tgt).loss.total

    gradient = jax.grad(loss)(scores)
    assert np.isfinite(gradient).all()
    assert loss(scores - gradient) < loss(scores)


def test_sides_without_tokens_weigh_nothing():
    scores, src, tgt = products_in_a_row(np.ones((3, 2)))
    terms = matches(scores, src, np.zeros_like(tgt))
    assert (float(terms.loss.total), float(terms.loss.weight)) == (0, 0)
