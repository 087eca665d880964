import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amber_jax.inference.alignment import Directions
from amber_jax.inference.word_links import (
    Alignment,
    build_word_aligner,
    diagonal_links,
    split_words,
    word_links,
)
from amber_jax.search.symmetrization import SYMMETRIZATIONS
from amber_jax.tokenization import load_tokenizer, sentencepiece
from amber_jax.tokenization.wordpiece import WordPieceTokenizer

PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f g h ##a ##b ##c ##d . ' 中"
WAYS = [("attention", -1), ("similarity", -1), ("similarity", 0)]
WORDS = st.lists(st.text("abcdefg' .中é", min_size=1), max_size=6)


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory):
    path = tmp_path_factory.mktemp("pieces") / "vocab.txt"
    path.write_text(PIECES.replace(" ", "\n") + "\n", encoding="utf-8")
    return load_tokenizer(path)


@pytest.fixture(scope="module")
def unigram():
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefg'."), 4)) for _ in range(200)]
    text = [" ".join(rng.choice(words, 8)) + " 中é" for _ in range(200)]
    return sentencepiece.train(
        text, vocab_size=60, character_coverage=1.0, byte_fallback=False
    )


@pytest.fixture(scope="module", params=["wordpiece", "unigram"])
def tokenizer(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def align(params, encoder_config, wordpiece):
    """A function: pairs of words to their links, by a model with random weights."""
    aligners = {}

    def links(pairs, way=WAYS[1], symmetrization="intersection", *, model=params):
        how = Alignment(*way, symmetrization, 0.0)
        if how not in aligners:
            aligners[how] = build_word_aligner(encoder_config, wordpiece, how)
        return aligners[how](model, pairs)

    return links


def certain(matrix):
    """Directions of pieces that choose as a [X, Y] matrix of 0 and 1 says."""
    matrix = np.asarray(matrix, np.float32)
    return Directions(
        *(m / np.maximum(m.sum(1, keepdims=True), 1) for m in (matrix, matrix.T))
    )


def linked(directions, src_words, tgt_words, how="intersection", threshold=0.0):
    return word_links(
        directions, src_words, tgt_words, symmetrization=how, threshold=threshold
    )


def test_every_piece_knows_its_word(wordpiece):
    (sentence, empty) = split_words(wordpiece, [["abc", "\u200b", "d'", "中中"], []])
    assert wordpiece.pieces(sentence.ids) == [*("a", "##b", "##c"), *"d'中中"]
    assert sentence.words == [0, 0, 0, 2, 2, 3, 3]  # the zero-width word has no piece
    assert empty == ([], [])


@settings(max_examples=50)
@given(words=WORDS)
@example(words=["a", "'ccc"])
def test_pieces_are_those_of_the_words_with_spaces_between(tokenizer, words):
    words = [word.replace(" ", "") for word in words if word.strip()]
    (sentence,) = split_words(tokenizer, [words])
    ids = tokenizer.encode(" ".join(words))
    assert sentence.words == sorted(sentence.words)
    assert len(sentence.words) == len(sentence.ids) == len(ids)
    # `c cc` and `cc c` score the same: a unigram takes one of them, by rounding.
    of_words = [
        sorted(zip(sentence.words, x, strict=True)) for x in (sentence.ids, ids)
    ]
    assert of_words[0] == of_words[1]
    if isinstance(tokenizer, WordPieceTokenizer):
        assert sentence.ids == ids


def test_two_words_are_linked_if_any_of_their_pieces_are():
    # Two words of two pieces; word 0 and word 1 hold pieces 0, 1 and 2, 3.
    choices = np.zeros((4, 4), np.float32)
    choices[[0, 1, 2, 3], [1, 2, 3, 3]] = 1
    directions = Directions(choices, choices.T)
    assert linked(directions, [0, 0, 1, 1], [0, 0, 1, 1], "src-to-tgt") == {
        (0, 0),
        (0, 1),
        (1, 1),
    }


def test_directions_are_merged_to_words_before_they_are_made_one():
    # Source piece 0 chooses piece 1 of the target's word, which chooses source piece 1.
    directions = Directions(
        np.array([[0, 1], [0, 1]], np.float32), np.array([[1, 0], [0, 1]], np.float32)
    )
    assert linked(directions, [0, 1], [0, 0]) == {(0, 0), (1, 0)}


def test_without_a_threshold_each_piece_has_its_best():
    forward = np.array([[0.4, 0.6], [0.5, 0.5]], np.float32)  # the first of equals
    directions = Directions(forward, np.array([[0.9, 0.1], [0.2, 0.8]], np.float32))
    assert linked(directions, [0, 1], [0, 1], "src-to-tgt") == {(0, 1), (1, 0)}
    assert linked(directions, [0, 1], [0, 1], "tgt-to-src") == {(0, 0), (1, 1)}


def test_a_threshold_takes_all_that_is_above_it_and_may_take_nothing():
    forward = np.array([[0.4, 0.6], [0.5, 0.5]], np.float32)
    directions = Directions(forward, forward)

    def of(threshold):
        return linked(directions, [0, 1], [0, 1], "src-to-tgt", threshold)

    assert of(0.3) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert of(0.5) == {(0, 1)}  # more than, not as much as
    assert of(0.7) == set()


def test_pieces_can_be_combined_before_they_are_merged_to_words():
    # As above, but no two pieces choose each other in the first pair of words.
    directions = Directions(
        np.array([[0, 1], [0, 1]], np.float32), np.array([[1, 0], [0, 1]], np.float32)
    )
    links = word_links(
        directions,
        [0, 1],
        [0, 0],
        symmetrization="intersection",
        threshold=0.0,
        level="piece",
    )
    assert links == {(1, 0)}


@pytest.mark.parametrize(
    ("depth", "method", "layer", "number"),
    [
        (2, "similarity", None, 2),
        (11, "similarity", None, 11),
        (12, "similarity", None, 7),
        (24, "similarity", None, 14),
        (12, "similarity", -1, 12),
        (12, "similarity", 0, 0),
        (12, "attention", None, 12),
    ],
)
def test_deep_models_align_by_a_layer_in_the_middle(depth, method, layer, number):
    how = Alignment(method, layer, "union", 0.0)
    assert how.numbered(depth) == how._replace(layer=number)


@settings(max_examples=30)
@given(order=st.permutations(range(6)), threshold=st.sampled_from([0.0, 0.001, 0.9]))
def test_a_permutation_is_recovered_by_every_symmetrization(order, threshold):
    directions = certain(np.eye(6)[list(order)])
    for how in SYMMETRIZATIONS:
        links = linked(directions, range(6), range(6), how, threshold)
        assert links == set(enumerate(order))


@pytest.mark.parametrize("symmetrization", SYMMETRIZATIONS)
def test_a_model_finds_the_words_of_a_shuffled_sentence(align, params, symmetrization):
    # Without positions, layer 0 knows a word by itself alone.
    tables = params["encoder"]["embeddings"]
    position = jax.tree.map(np.zeros_like, tables["position"])
    encoder = params["encoder"] | {"embeddings": tables | {"position": position}}
    words = list("abcdefgh")
    order = np.random.default_rng(0).permutation(8)
    pair = words, [words[i] for i in order]
    aligned = align([pair], WAYS[2], symmetrization, model={"encoder": encoder})
    assert aligned.links == [{(int(i), j) for j, i in enumerate(order)}]


@pytest.mark.parametrize("way", WAYS)
def test_links_come_in_the_order_of_the_pairs(align, way):
    rng = np.random.default_rng(2)
    pairs = [
        tuple(rng.choice(list("abcdefgh"), count).tolist() for count in sizes)
        for sizes in rng.integers(1, 15, (20, 2))
    ]
    together = align(pairs, way, "union").links
    assert together == [align([pair], way, "union").links[0] for pair in pairs]
    for (src, tgt), links in zip(pairs, together, strict=True):
        assert {i for i, _ in links} == set(range(len(src)))
        assert {j for _, j in links} == set(range(len(tgt)))


@pytest.mark.parametrize("way", WAYS)
def test_exchanged_sides_give_exchanged_links(align, way):
    pair = ["ab", "c", "d", "."], [*"efgha", "."]
    (links,) = align([pair], way).links
    (swapped,) = align([pair[::-1]], way).links
    assert links and {(j, i) for i, j in swapped} == links


def test_sides_without_words_or_pieces_have_no_links(align):
    aligned = align([((), ("a",)), (("a",), ("\u200b",)), (("a",), ("b",))])
    assert aligned == ([frozenset(), frozenset(), {(0, 0)}], 0, 0)


@pytest.mark.parametrize(("way", "cut", "reach"), [(WAYS[0], 2, 18), (WAYS[1], 1, 37)])
def test_words_beyond_the_models_positions_have_no_link(align, way, cut, reach):
    short, long, longest = ["a"] * 10, ["b"] * 30, ["c"] * 41  # the model has 40
    pairs = [(short, short), (short, long), (longest, longest)]
    aligned = align(pairs, way, "union")
    assert aligned.cut == cut
    assert max(max(link) for link in aligned.links[2]) == reach


def test_a_sentence_written_without_spaces_is_noticed(align):
    unspaced = "中" * 17
    aligned = align(
        [((unspaced,), ("a", "b")), (("a",), (unspaced, ".")), (("a",), "b")]
    )
    assert aligned.unspaced == 1


def test_the_baseline_follows_the_diagonal():
    def diagonal(n, m):
        return sorted(diagonal_links("x" * n, "y" * m))

    assert diagonal(3, 3) == [(0, 0), (1, 1), (2, 2)]
    assert diagonal(4, 2) == [(0, 0), (1, 0), (2, 1), (3, 1)]  # 0.5 and 1.5 go to even
    assert diagonal(2, 5) == [(0, 0), (1, 2)]
    assert diagonal(1, 3) == [(0, 0)]
    assert diagonal(2, 0) == diagonal(0, 2) == []


@given(n=st.integers(1, 60), m=st.integers(1, 60))
@settings(max_examples=50)
def test_the_baseline_links_every_source_word_to_a_word_that_exists(n, m):
    links = diagonal_links("x" * n, "y" * m)
    assert sorted(i for i, _ in links) == list(range(n))
    assert all(0 <= j < m for _, j in links)
