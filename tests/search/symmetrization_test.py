import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from amber_jax.search.symmetrization import itermax, symmetrize

# Drawn by hand: source words are rows, target words are columns.
GROWING = {  # links grow along the diagonal, and never between two linked words
    "forward": ["#.#.", ".##.", "..#.", "...."],
    "backward": ["#...", ".#..", "....", "...#"],
    "intersection": ["#...", ".#..", "....", "...."],
    "union": ["#.#.", ".##.", "..#.", "...#"],
    "grow-diag-final": ["#...", ".##.", "..#.", "...#"],
    "grow-diag-final-and": ["#...", ".##.", "..#.", "...#"],
}
FINISHING = {  # nothing grows; the last step decides over what stands alone
    "forward": ["#...", "...#", "#...", "...."],
    "backward": ["#...", "....", "...#", "..#."],
    "intersection": ["#...", "....", "....", "...."],
    "union": ["#...", "...#", "#..#", "..#."],
    "grow-diag-final": ["#...", "...#", "#...", "..#."],
    "grow-diag-final-and": ["#...", "...#", "....", "..#."],
}
UNEVEN = {  # more target words than source words; backward comes after forward
    "forward": ["#....", "...#."],
    "backward": ["#..#.", ".#..#"],
    "intersection": ["#....", "....."],
    "union": ["#..#.", ".#.##"],
    "grow-diag-final": ["#....", ".#.##"],
    "grow-diag-final-and": ["#....", ".#..."],
}
NOTHING_SHARED = {
    "forward": ["#.", "#."],
    "backward": [".#", ".."],
    "intersection": ["..", ".."],
    "union": ["##", "#."],
    "grow-diag-final": ["##", "#."],
    "grow-diag-final-and": ["#.", ".."],
}
CASES = (GROWING, FINISHING, UNEVEN, NOTHING_SHARED)
GROWN = ("grow-diag-final", "grow-diag-final-and")
MADE_OF_BOTH = ("intersection", "union", *GROWN)


def drawn(rows):
    return np.array([[cell == "#" for cell in row] for row in rows])


@st.composite
def two_directions(draw):
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    arrays = hnp.arrays(bool, shape)
    return draw(arrays), draw(arrays)


def published(forward, backward, *, last_and):
    """The pseudo-code word for word, on sets of links."""
    height, width = forward.shape
    src_to_tgt, tgt_to_src = (
        {(i, j) for i in range(height) for j in range(width) if links[i, j]}
        for links in (forward, backward)
    )
    union = src_to_tgt | tgt_to_src
    links = src_to_tgt & tgt_to_src

    def aligned(place, side):
        return any(link[side] == place for link in links)

    before = -1
    while before < len(links):
        before = len(links)
        for i in range(height):
            for j in range(width):
                if (i, j) not in links:
                    continue
                for down, right in (
                    *((-1, 0), (0, -1), (1, 0), (0, 1)),
                    *((-1, -1), (-1, 1), (1, -1), (1, 1)),
                ):
                    new = (i + down, j + right)
                    free = not aligned(new[0], 0) or not aligned(new[1], 1)
                    if free and new in union:
                        links.add(new)
    for direction in (src_to_tgt, tgt_to_src):
        for i in range(height):
            for j in range(width):
                free = not aligned(i, 0), not aligned(j, 1)
                if (i, j) in direction and (all(free) if last_and else any(free)):
                    links.add((i, j))
    return links


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("how", MADE_OF_BOTH)
def test_links_are_those_worked_out_by_hand(case, how):
    links = symmetrize(drawn(case["forward"]), drawn(case["backward"]), how)
    np.testing.assert_array_equal(links, drawn(case[how]))


@hypothesis.given(two_directions())
@hypothesis.settings(max_examples=50)
def test_growing_is_the_published_one(both):
    for how in GROWN:
        links = symmetrize(*both, how)
        expected = published(*both, last_and=how.endswith("-and"))
        assert {tuple(link) for link in np.argwhere(links)} == expected


@hypothesis.given(two_directions())
@hypothesis.settings(max_examples=50)
def test_what_grows_holds_the_intersection_and_stays_in_the_union(both):
    given = [direction.copy() for direction in both]
    least, most = (symmetrize(*both, how) for how in ("intersection", "union"))
    for how in GROWN:
        links = symmetrize(*both, how)
        assert not (least & ~links).any() and not (links & ~most).any()
    np.testing.assert_array_equal(both, given)  # nothing is changed in place


@hypothesis.given(two_directions())
@hypothesis.settings(max_examples=50)
def test_the_last_step_leaves_no_word_that_could_have_a_link(both):
    union = symmetrize(*both, "union")
    any_word = symmetrize(*both, "grow-diag-final")
    for axis in (0, 1):
        np.testing.assert_array_equal(any_word.any(axis), union.any(axis))
    both_words = symmetrize(*both, "grow-diag-final-and")
    linked = both_words.any(1)[:, None] | both_words.any(0)
    assert not (union & ~linked).any()


@hypothesis.given(two_directions())
@hypothesis.settings(max_examples=50)
def test_exchanged_sides_give_exchanged_links(both):
    forward, backward = both
    swapped = backward.T, forward.T
    for how, other in (
        ("intersection", "intersection"),
        ("union", "union"),
        ("src-to-tgt", "tgt-to-src"),
        ("tgt-to-src", "src-to-tgt"),
    ):
        links = symmetrize(*swapped, other)
        np.testing.assert_array_equal(links.T, symmetrize(*both, how))


def test_growing_from_the_other_side_may_stop_elsewhere():
    forward, backward = drawn(FINISHING["forward"]), drawn(FINISHING["backward"])
    links = symmetrize(backward.T, forward.T, "grow-diag-final").T
    np.testing.assert_array_equal(links, drawn(["#...", "...#", "...#", "..#."]))


@hypothesis.given(st.permutations(range(6)))
@hypothesis.settings(max_examples=50)
def test_directions_that_agree_are_kept_by_all(order):
    matrix = np.eye(6, dtype=bool)[list(order)]
    for how in (*MADE_OF_BOTH, "src-to-tgt", "tgt-to-src"):
        np.testing.assert_array_equal(symmetrize(matrix, matrix, how), matrix)


def test_itermax_links_once_more_what_is_left():
    similarities = np.array(
        [
            [0.9, 0.85, 0.1],
            [0.2, 0.1, 0.3],
            [0.8, 0.1, 0.7],
        ]
    )
    links = itermax(similarities)
    # First (0, 0). Then its row and column at 0.9: 0.72 of (2, 0) is above 0.7.
    assert np.argwhere(links).tolist() == [[0, 0], [0, 1], [2, 0]]
    # Two rows have one round.
    assert np.argwhere(itermax(similarities[:2])).tolist() == [[0, 0], [1, 2]]
    assert (itermax(np.eye(4)) == np.eye(4)).all()  # all have a link
