import string

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from jaxpr_sizes import sizes_in

from amber_jax.inference.embedding import (
    build_embedder,
    embed_sentences,
    embedding_params,
    parts_to_embed,
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
            parts_to_embed(params),
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
    np.testing.assert_allclose(vectors[1], vectors[6], atol=1e-5)  # the same sentence
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
        parts_to_embed(params),
        tokenizer,
        SENTENCES,
        max_length=MAX_LENGTH,
        batch_size=4,
    )
    assert vectors.shape == (len(SENTENCES), 3, 16) and vectors.dtype == np.float32
    for layer in range(3):
        expected = [directly(s, vector._replace(layer=layer)) for s in SENTENCES if s]
        of_layer = [
            by_layer[layer] for by_layer, s in zip(vectors, SENTENCES, strict=True) if s
        ]
        np.testing.assert_allclose(of_layer, expected, atol=1e-5)
    np.testing.assert_allclose(vectors[:, vector.layer], embed(SENTENCES, vector))


def test_states_of_one_layer_at_a_time_are_held(params, encoder_config):
    """A curve's largest arrays are those of a single layer, not of all of them."""
    rows, width = 64, 8  # hidden states are larger than the attention
    arguments = (
        parts_to_embed(params),
        jax.ShapeDtypeStruct((rows, width), np.int32),
        jax.ShapeDtypeStruct((rows, 1, 2), np.int32),
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
        parts_to_embed(params),
        tokenizer,
        [],
        max_length=MAX_LENGTH,
        batch_size=4,
    )
    assert vectors.shape == ((0, 3, 16) if every_layer else (0, 16))
    assert vectors.dtype == np.float32


def test_progress_is_told_after_every_batch(params, tokenizer):
    shapes, progress = [], []

    def embedder(params, token_ids, span_lengths):
        shapes.append(token_ids.shape)
        return jnp.zeros((*span_lengths.shape[:2], 1))

    vectors = embed_sentences(
        embedder,
        params,
        tokenizer,
        ["a " * 30] * 11,  # two in a row of 64
        max_length=MAX_LENGTH,
        batch_size=4,
        on_progress=lambda *counts: progress.append(counts),
    )
    assert vectors.shape == (11, 1)
    assert shapes[1:] == [(2, 64)] * 3  # the first call asks for the vectors' shape
    assert progress == [(4, 11), (8, 11), (11, 11)]


@pytest.mark.parametrize("every_layer", [False, True])
def test_all_devices_together_give_the_vectors_of_one(
    params, encoder_config, tokenizer, every_layer
):
    assert jax.local_device_count() == 8
    devices = []

    def on(params):
        embedder = build_embedder(encoder_config, WORDS, every_layer=every_layer)

        def noting(params, token_ids, span_lengths):
            if isinstance(token_ids, jax.Array) and not isinstance(
                token_ids, jax.core.Tracer
            ):
                devices.append(len(token_ids.devices()))
            return embedder(params, token_ids, span_lengths)

        return embed_sentences(
            noting,
            params,
            tokenizer,
            [*SENTENCES, *string.ascii_lowercase] * 5,
            max_length=MAX_LENGTH,
            batch_size=4,
        )

    single, divided = on(parts_to_embed(params)), on(embedding_params(params))
    np.testing.assert_allclose(divided, single, atol=1e-5)
    assert set(devices) == {1, 8}
