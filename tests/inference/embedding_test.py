import string

import jax
import jax.extend
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxpr_sizes import sizes_in

from amber_jax.inference.embedding import (
    build_embedder,
    embed_sentences,
    padded_width,
    plan_batches,
)
from amber_jax.model.sentence_vector import SentenceVector
from amber_jax.tokenization import load_tokenizer

WORDS = SentenceVector(-1, "mean", special_tokens=False)
VECTORS = [
    WORDS,
    SentenceVector(0, "mean", special_tokens=True),
    SentenceVector(1, "first", special_tokens=False),
    SentenceVector(2, "mean", special_tokens=True),
]
SENTENCES = ["a b c", "d", "", "e f g h i j k l m n", "zebra b", "c b a", "d"]
MAX_LENGTH = 36


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """The letters as words, in a vocabulary no larger than the model's."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase]
    path = tmp_path_factory.mktemp("letters") / "vocab.txt"
    path.write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return load_tokenizer(path)


@pytest.fixture(scope="module")
def embed(params, encoder_config, tokenizer):
    """A function: sentences to vectors."""
    embedders = {vector: build_embedder(encoder_config, vector) for vector in VECTORS}

    def vectors(sentences, vector=WORDS, *, max_length=MAX_LENGTH, batch_size=4):
        return embed_sentences(
            embedders[vector],
            params,
            tokenizer,
            sentences,
            max_length=max_length,
            batch_size=batch_size,
        )

    return vectors


@pytest.fixture(scope="module")
def directly(numpy_bert, tokenizer):
    """A function: one sentence's vector, in NumPy."""

    def pooled(sentence, vector):
        ids = [
            tokenizer.special.cls,
            *tokenizer.encode(sentence),
            tokenizer.special.sep,
        ]
        everything = np.ones((len(ids), len(ids)), bool)
        states, _ = numpy_bert(ids, [0] * len(ids), range(len(ids)), everything)
        chosen = states[vector.layer]
        if vector.pooling == "first":
            return chosen[0]
        return (chosen if vector.special_tokens else chosen[1:-1]).mean(0)

    return pooled


@pytest.mark.parametrize("vector", VECTORS)
def test_vectors_are_those_of_the_layer_and_pooling_asked_for(embed, directly, vector):
    sentences = [sentence for sentence in SENTENCES if sentence]
    vectors = embed(sentences, vector)
    assert vectors.dtype == np.float32
    expected = [directly(sentence, vector) for sentence in sentences]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_vectors_come_in_the_order_of_the_sentences(embed):
    vectors = embed(SENTENCES)
    assert vectors.shape == (len(SENTENCES), 16)
    order = np.random.default_rng(0).permutation(len(SENTENCES))
    shuffled = embed([SENTENCES[i] for i in order])
    np.testing.assert_allclose(shuffled, vectors[order], atol=1e-5)
    np.testing.assert_array_equal(vectors[1], vectors[6])  # the same sentence twice
    assert len(np.unique(vectors.round(4), axis=0)) == len(SENTENCES) - 1


def test_neither_batch_size_nor_longer_neighbors_change_a_vector(embed):
    vectors = embed(SENTENCES)
    long = " ".join(string.ascii_lowercase + string.ascii_lowercase[:8])  # 36 tokens
    for batch_size in (1, 16):
        together = embed([*SENTENCES, long], batch_size=batch_size)
        np.testing.assert_allclose(together[:-1], vectors, atol=1e-5)


def test_a_long_sentence_is_cut_at_its_end(embed, directly):
    long, cut = "a b c d e f g h", "a b c d"
    vectors = embed([long, cut], max_length=6)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    np.testing.assert_allclose(vectors[0], directly(cut, WORDS), atol=1e-5)
    assert abs(embed([long])[0] - vectors[0]).max() > 0.1


def test_a_sentence_without_words_is_a_zero_vector(embed):
    vectors = embed(["", "a", "  "])
    assert not vectors[[0, 2]].any()
    assert vectors[1].any()


@pytest.mark.parametrize("vector", VECTORS[1:])
def test_special_tokens_stand_for_a_sentence_without_words(embed, directly, vector):
    vectors = embed(["", "a"], vector)
    np.testing.assert_allclose(vectors[0], directly("", vector), atol=1e-5)


@pytest.mark.parametrize("vector", VECTORS[::2])
def test_one_pass_gives_the_vectors_of_every_layer(
    embed, params, encoder_config, tokenizer, directly, vector
):
    embedder = build_embedder(encoder_config, vector, every_layer=True)
    vectors = embed_sentences(
        embedder,
        params,
        tokenizer,
        SENTENCES,
        max_length=MAX_LENGTH,
        batch_size=4,
    )
    assert vectors.shape == (len(SENTENCES), 3, 16) and vectors.dtype == np.float32
    for layer in range(3):
        expected = [directly(s, vector._replace(layer=layer)) for s in SENTENCES if s]
        found = [one[layer] for one, s in zip(vectors, SENTENCES, strict=True) if s]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(vectors[:, vector.layer], embed(SENTENCES, vector))


def test_states_of_one_layer_at_a_time_are_held(params, encoder_config):
    """A curve's largest arrays are those of a single layer, not of all of them."""
    rows, width = 64, 8  # hidden states are larger than the attention
    arguments = (
        params,
        jax.ShapeDtypeStruct((rows, width), np.int32),
        jax.ShapeDtypeStruct((rows,), np.int32),
    )
    sizes = [
        max(sizes_in(jax.make_jaxpr(embedder)(*arguments).jaxpr))
        for embedder in (
            build_embedder(encoder_config, WORDS, every_layer=every_layer)
            for every_layer in (False, True)
        )
    ]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("every_layer", [False, True])
def test_no_sentences_are_no_vectors_of_the_usual_size(
    params, encoder_config, tokenizer, every_layer
):
    vectors = embed_sentences(
        build_embedder(encoder_config, WORDS, every_layer=every_layer),
        params,
        tokenizer,
        [],
        max_length=MAX_LENGTH,
        batch_size=4,
    )
    assert vectors.shape == ((0, 3, 16) if every_layer else (0, 16))
    assert vectors.dtype == np.float32


def test_few_shapes_are_compiled_and_progress_is_told(params, tokenizer):
    shapes, progress = [], []

    def embedder(params, token_ids, lengths):
        shapes.append(token_ids.shape)
        return np.zeros((len(lengths), 1))

    sentences = ["a " * count for count in range(34)]
    vectors = embed_sentences(
        embedder,
        params,
        tokenizer,
        sentences,
        max_length=MAX_LENGTH,
        batch_size=8,
        on_progress=lambda *counts: progress.append(counts),
    )
    assert vectors.shape == (34, 1)
    # 8 sentences of 36 tokens, padded to 48, are 384 tokens. The first call asks for
    # the vectors' shape only.
    assert shapes[1:] == [(8, 48), (12, 32), (16, 16)]
    assert progress == [(8, 34), (20, 34), (34, 34)]


@settings(max_examples=50)
@given(
    st.lists(st.integers(2, 512), max_size=300), st.sampled_from([1, 100, 2048, 8192])
)
def test_batches_hold_every_sentence_once_within_their_tokens(lengths, tokens):
    batches = plan_batches(lengths, tokens)
    chosen = [place for batch in batches for place in batch.indices]
    assert sorted(chosen) == list(range(len(lengths)))
    for batch in batches:
        rows, width = batch.shape
        assert len(batch.indices) <= rows
        assert rows == 1 or rows * width <= tokens
        assert max(lengths[place] for place in batch.indices) <= width
    full = {batch.shape for batch in batches[:-1]}
    assert len(full) == len({width for _, width in full})  # one shape a width


def test_widths_are_few_and_waste_less_than_a_third():
    widths = {padded_width(length) for length in range(2, 513)}
    assert sorted(widths) == [8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
    for length in range(16, 513):
        assert length <= padded_width(length) < 1.5 * length
