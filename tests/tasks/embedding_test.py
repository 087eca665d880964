import string

import numpy as np
import pytest

from amber_jax.tasks.embedding import Pooling, build_embedder, embed_sentences
from amber_jax.tokenization import load_tokenizer

WORDS = Pooling(-1, "mean", special_tokens=False)
POOLINGS = [
    WORDS,
    Pooling(0, "mean", special_tokens=True),
    Pooling(1, "first", special_tokens=False),
    Pooling(2, "mean", special_tokens=True),
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
    embedders = {
        pooling: build_embedder(encoder_config, pooling) for pooling in POOLINGS
    }

    def vectors(sentences, pooling=WORDS, *, max_length=MAX_LENGTH, batch_size=4):
        return embed_sentences(
            embedders[pooling],
            params["encoder"],
            tokenizer,
            sentences,
            max_length=max_length,
            batch_size=batch_size,
        )

    return vectors


@pytest.fixture(scope="module")
def directly(numpy_bert, tokenizer):
    """A function: one sentence's vector, in NumPy."""

    def vector(sentence, pooling):
        ids = [
            tokenizer.special.cls,
            *tokenizer.encode(sentence),
            tokenizer.special.sep,
        ]
        everything = np.ones((len(ids), len(ids)), bool)
        states, _ = numpy_bert(ids, [0] * len(ids), range(len(ids)), everything)
        chosen = states[pooling.layer]
        if pooling.kind == "first":
            return chosen[0]
        return (chosen if pooling.special_tokens else chosen[1:-1]).mean(0)

    return vector


@pytest.mark.parametrize("pooling", POOLINGS)
def test_vectors_are_those_of_the_layer_and_pooling_asked_for(embed, directly, pooling):
    sentences = [sentence for sentence in SENTENCES if sentence]
    vectors = embed(sentences, pooling)
    assert vectors.dtype == np.float32
    expected = [directly(sentence, pooling) for sentence in sentences]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_vectors_come_in_the_order_of_the_sentences(embed):
    vectors = embed(SENTENCES)
    assert vectors.shape == (len(SENTENCES), 16)
    order = np.random.default_rng(0).permutation(len(SENTENCES))
    shuffled = embed([SENTENCES[i] for i in order])
    np.testing.assert_allclose(shuffled, vectors[order], atol=1e-5)
    np.testing.assert_array_equal(vectors[1], vectors[6])  # the same sentence twice
    assert len(np.unique(vectors.round(4), axis=0)) == len(SENTENCES) - 1


def test_neither_batch_size_nor_longer_neighbours_change_a_vector(embed):
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


@pytest.mark.parametrize("pooling", POOLINGS[1:])
def test_special_tokens_stand_for_a_sentence_without_words(embed, directly, pooling):
    vectors = embed(["", "a"], pooling)
    np.testing.assert_allclose(vectors[0], directly("", pooling), atol=1e-5)


def test_few_shapes_are_compiled_for_many_lengths(params, tokenizer):
    shapes = []

    def embedder(params, token_ids, lengths):
        shapes.append(token_ids.shape)
        return np.zeros((len(lengths), 1))

    embed_sentences(
        embedder,
        params["encoder"],
        tokenizer,
        ["a " * count for count in range(34)],
        max_length=MAX_LENGTH,
        batch_size=4,
    )
    assert shapes == [(4, 32)] * 7 + [(4, 64)] * 2
