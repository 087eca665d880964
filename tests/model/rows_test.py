import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from amber_jax.model import rows

LENGTH, PAIRS = 20, 4
layout = jax.jit(rows.layout, static_argnums=1)
_swap_order = jax.jit(rows.swap_order, static_argnums=(1, 2))


def swap_order(spans, row_length, separators=1):
    return jax.device_get(_swap_order(spans, row_length, separators))


def table(text):
    """Reads rows of 0s and 1s."""
    return np.array([[int(c) for c in line.split()] for line in text.split("\n")])


@st.composite
def span_lengths(draw):
    """Spans that fit in a row: (x + 2, y + 1), or (x + 2, 0) for a lone text."""
    spans = np.zeros((1, PAIRS, 2), np.int32)
    room = LENGTH
    for place in range(draw(st.integers(0, PAIRS))):
        if room < 4:
            break
        first = draw(st.integers(2, room - 1))
        second = draw(st.integers(1, room - first) | st.just(0))
        spans[0, place] = first, second
        room -= first + second
    return spans


def sides_exchanged(row, spans):
    """A row with the two blocks of every pair exchanged, in plain Python."""
    result, start = list(row), 0
    for first, second in spans.tolist():
        end = start + first + second
        x, y = row[start + 1 : start + first], row[start + first : end]
        if second:
            result[start + 1 : end] = [*y, *x]
        start = end
    return result


def test_layout_of_literal_rows():
    spans = np.array([[[3, 2], [2, 0], [0, 0]], [[4, 3], [2, 1], [0, 0]]])
    place = rows.layout(spans, 11)
    # token             CLS x SEP y SEP CLS SEP PAD PAD PAD PAD
    # token             CLS x  x SEP y  y SEP CLS SEP SEP PAD
    assert place.pair_ids.tolist() == [
        [1, 1, 1, 1, 1, 2, 2, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 0],
    ]
    assert place.sides.tolist() == [
        [0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0],
    ]
    assert place.position_ids.tolist() == [
        [0, 1, 2, 3, 4, 0, 1, 0, 0, 0, 0],
        [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 0],
    ]


def test_layout_of_an_empty_and_of_a_full_row():
    place = rows.layout(np.array([[[0, 0], [0, 0]], [[3, 0], [2, 1]]]), 6)
    assert place.pair_ids.tolist() == [[0] * 6, [1, 1, 1, 2, 2, 2]]
    assert place.sides.tolist() == [[0] * 6, [0, 0, 0, 0, 0, 1]]
    assert place.position_ids.tolist() == [[0] * 6, [0, 1, 2, 0, 1, 2]]


def test_layout_is_int32():
    assert {part.dtype for part in rows.layout(np.array([[[3, 2]]]), 6)} == {
        np.dtype("int32")
    }


def test_swap_order_of_literal_rows():
    # C = [CLS], S = [SEP]; the second pair is a lone text, the rest padding.
    row = np.array([list("CabScdeSCfgS..")])
    spans = np.array([[[4, 4], [4, 0], [0, 0]]])
    order, swapped_spans = rows.swap_order(spans, row.shape[1])
    swapped = np.take_along_axis(row, np.asarray(order), axis=1)
    assert "".join(swapped[0]) == "CcdeSabSCfgS.."
    assert order.tolist() == [[0, 4, 5, 6, 7, 1, 2, 3, 8, 9, 10, 11, 12, 13]]
    assert swapped_spans.tolist() == [[[5, 3], [4, 0], [0, 0]]]


def test_swap_order_of_sides_without_words():
    row = np.array([list("CSabSCcSS.")])
    order, swapped_spans = rows.swap_order(np.array([[[2, 3], [3, 1]]]), row.shape[1])
    swapped = np.take_along_axis(row, np.asarray(order), axis=1)
    assert "".join(swapped[0]) == "CabSSCScS."
    assert swapped_spans.tolist() == [[[4, 1], [2, 2]]]


def test_further_separators_stay_between_the_sides():
    """`<s> x </s></s> y </s>`: side 1 begins with the second </s>."""
    row = np.array([list("CabSTcdeSCfgS.")])
    spans = np.array([[[4, 5], [4, 0], [0, 0]]])
    order, swapped_spans = swap_order(spans, row.shape[1], 2)
    swapped = np.take_along_axis(row, np.asarray(order), axis=1)
    assert "".join(swapped[0]) == "CcdeSTabSCfgS."
    assert swapped_spans.tolist() == [[[5, 4], [4, 0], [0, 0]]]
    further = rows.further_separators(spans, row.shape[1], 2)
    assert "".join(row[0, np.asarray(further[0])]) == "T"
    assert not rows.further_separators(spans, row.shape[1], 1).any()


@settings(max_examples=200)
@given(span_lengths(), st.integers(2, 4))
def test_rows_of_any_separators_swap_back(spans, separators):
    spans[..., 1] += np.where(spans[..., 1] > 0, separators - 1, 0)
    length = LENGTH + 3 * spans.shape[1]  # of all rows, so as to compile it once
    order, swapped_spans = swap_order(spans, length, separators)
    back, same_spans = swap_order(swapped_spans, length, separators)
    assert order[0][back[0]].tolist() == list(range(length))
    assert same_spans.tolist() == spans.tolist()
    swapped = rows.further_separators(swapped_spans, length, separators)
    further = np.asarray(rows.further_separators(spans, length, separators))
    assert np.take_along_axis(further, order, 1).tolist() == swapped.tolist()


@settings(max_examples=200)
@given(span_lengths())
def test_swap_order_exchanges_the_sides_of_any_row(spans):
    row = list(range(LENGTH))
    order, _ = swap_order(spans, LENGTH)
    assert order[0].tolist() == sides_exchanged(row, spans[0])


@settings(max_examples=200)
@given(span_lengths())
def test_swapping_twice_returns_the_row_and_its_spans(spans):
    order, swapped_spans = swap_order(spans, LENGTH)
    back, same_spans = swap_order(swapped_spans, LENGTH)
    assert order[0][back[0]].tolist() == list(range(LENGTH))
    assert same_spans.tolist() == spans.tolist()


@settings(max_examples=100)
@given(span_lengths())
def test_swapped_rows_keep_every_token_in_its_pair(spans):
    order, swapped_spans = swap_order(spans, LENGTH)
    before, after = layout(spans, LENGTH), layout(swapped_spans, LENGTH)
    moved = [np.take_along_axis(np.asarray(part), order, 1) for part in before]
    assert after.pair_ids.tolist() == moved[0].tolist()
    two_sided = np.isin(moved[0], 1 + np.flatnonzero(spans[0, :, 1]))
    first_token = moved[2] == 0
    changes_side = two_sided & ~first_token
    assert (after.sides == np.where(changes_side, 1 - moved[1], moved[1])).all()


@settings(max_examples=100)
@given(st.permutations(range(LENGTH)))
def test_invert_order_undoes_any_order(permutation):
    order = np.array([permutation])
    inverse = np.asarray(rows.invert_order(order))
    assert np.take_along_axis(order, inverse, axis=1).tolist() == [list(range(LENGTH))]


def test_one_hot_pairs_marks_members_and_no_padding():
    pair_ids = np.array([[1, 1, 2, 0]])
    assert rows.one_hot_pairs(pair_ids, 3).astype(int).tolist() == [
        [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    ]


def test_directed_attention_is_figure_1b():
    """Rows are queries, columns keys, of `[CLS] x x x [SEP] y y y [SEP]`."""
    mask = rows.directed_attention(rows.layout(np.array([[[5, 4]]]), 9)).dense()[0]
    expected = table(
        # C  x  x  x  S  y  y  y  S
        "1  1  1  1  1  0  0  0  0\n"  # [CLS]
        "1  1  1  1  1  0  0  0  0\n"  # x1
        "1  1  1  1  1  0  0  0  0\n"  # x2
        "1  1  1  1  1  0  0  0  0\n"  # x3
        "1  1  1  1  1  0  0  0  0\n"  # [SEP] of x
        "1  1  1  1  1  0  0  0  0\n"  # y1
        "1  1  1  1  1  1  0  0  0\n"  # y2
        "1  1  1  1  1  1  1  0  0\n"  # y3
        "1  1  1  1  1  1  1  1  0"  # [SEP] of y
    )
    assert (np.asarray(mask) == expected).all()
    words = [1, 2, 3, 5, 6, 7]
    assert mask[np.ix_(words, words)].astype(int).tolist() == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
    ]


def test_directed_attention_of_a_packed_row():
    """`[CLS] x [SEP] y [SEP]`, then a lone `[CLS] [SEP]`, then padding."""
    mask = rows.directed_attention(
        rows.layout(np.array([[[3, 2], [2, 0]]]), 8)
    ).dense()[0]
    expected = table(
        "1 1 1 0 0 0 0 0\n"
        "1 1 1 0 0 0 0 0\n"
        "1 1 1 0 0 0 0 0\n"
        "1 1 1 0 0 0 0 0\n"
        "1 1 1 1 0 0 0 0\n"
        "0 0 0 0 0 1 1 0\n"
        "0 0 0 0 0 1 1 0\n"
        "0 0 0 0 0 0 0 0"
    )
    assert (np.asarray(mask) == expected).all()


def test_full_attention_of_a_packed_row():
    mask = rows.full_attention(rows.layout(np.array([[[3, 2], [2, 0]]]), 8)).dense()[0]
    expected = table(
        "1 1 1 1 1 0 0 0\n"
        "1 1 1 1 1 0 0 0\n"
        "1 1 1 1 1 0 0 0\n"
        "1 1 1 1 1 0 0 0\n"
        "1 1 1 1 1 0 0 0\n"
        "0 0 0 0 0 1 1 0\n"
        "0 0 0 0 0 1 1 0\n"
        "0 0 0 0 0 0 0 0"
    )
    assert (np.asarray(mask) == expected).all()
