"""`SentenceTransformer` on exported folders: the vectors are ours."""

import json

import numpy as np
import pytest
import tiny_checkpoint
from sentence_transformers import SentenceTransformer

import amber_jax
from amber_jax.inference.loading import load_model
from amber_jax.tokenization import load_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:sentences (without|cut)")

CLOSE = 1e-5
VECTORS = {
    "mean without special tokens": ("mean", False),
    "mean with special tokens": ("mean", True),
    "first": ("first", True),
}


@pytest.fixture(scope="module")
def wordpiece(small_vocabulary):
    return load_tokenizer(small_vocabulary)


def encode(path, sentences, **options):
    return amber_jax.load(path).encode(sentences, **options)


@pytest.mark.parametrize("vector", VECTORS)
def test_vectors_are_equal(
    vector, unigram, sentences, convert, weight_warnings, tmp_path
):
    pooling, special_tokens = VECTORS[vector]
    vector = {"pooling": pooling, "special_tokens": special_tokens}
    checkpoint = tiny_checkpoint.write(
        tmp_path / "amber", unigram, sentence_vector=vector
    )
    convert(f"amber:{checkpoint}", f"sentence-transformers:{tmp_path / 'out'}")
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert not weight_warnings
    texts = [*sentences, "", "word " * 100]  # none and too many words
    wanted = encode(checkpoint, texts)
    vectors = model.encode(texts)
    assert vectors.shape == (len(texts), 16) and vectors.dtype == np.float32
    difference = np.abs(vectors - wanted).max()
    print(f"largest difference {difference:.1e}")
    assert difference < CLOSE

    back = f"amber:{tmp_path / 'back'}"
    convert(f"sentence-transformers:{tmp_path / 'out'}", back)
    run = json.loads((tmp_path / "back" / "run.json").read_text())
    assert run["sentence_vector"] == {"layer": -1, **vector}
    assert np.array_equal(encode(tmp_path / "back", texts), wanted)


def test_a_middle_layer_is_exported_as_a_shallower_model(
    wordpiece, sentences, convert, weight_warnings, tmp_path
):
    checkpoint = tiny_checkpoint.write(tmp_path / "amber", wordpiece, num_layers=3)
    out = tmp_path / "out"
    messages = convert(f"amber:{checkpoint}", f"sentence-transformers:{out}", layer=2)
    assert "left behind: mlm_head, it stands on layer 3" in messages
    model = SentenceTransformer(str(out), device="cpu")
    assert not weight_warnings
    assert model[0].auto_model.config.num_hidden_layers == 2
    wanted = encode(checkpoint, sentences, layer=2)
    assert np.abs(model.encode(sentences) - wanted).max() < CLOSE


def test_a_pooler_travels_along(wordpiece, convert, weight_warnings, tmp_path):
    checkpoint = tiny_checkpoint.write(
        tmp_path / "amber", wordpiece, extra_parts=("pooler", "next_sentence")
    )
    convert(f"amber:{checkpoint}", f"sentence-transformers:{tmp_path / 'out'}")
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert not weight_warnings
    wanted = load_model(checkpoint).params["pooler"]
    pooler = model[0].auto_model.pooler.dense
    assert np.array_equal(pooler.bias.detach().numpy(), wanted["bias"])


def test_a_folder_that_the_library_wrote_comes_in(
    wordpiece, sentences, convert, tmp_path
):
    checkpoint = tiny_checkpoint.write(
        tmp_path / "amber",
        wordpiece,
        sentence_vector={"pooling": "mean", "special_tokens": True},
    )
    convert(f"amber:{checkpoint}", f"sentence-transformers:{tmp_path / 'out'}")
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    model.save(str(tmp_path / "saved"))
    back = f"amber:{tmp_path / 'back'}"
    convert(f"sentence-transformers:{tmp_path / 'saved'}", back)
    wanted = encode(checkpoint, sentences)
    assert np.array_equal(encode(tmp_path / "back", sentences), wanted)


def test_settings_that_the_library_keeps_are_used(
    wordpiece, sentences, convert, tmp_path
):
    checkpoint = tiny_checkpoint.write(tmp_path / "amber", wordpiece)
    convert(f"amber:{checkpoint}", f"sentence-transformers:{tmp_path / 'out'}")
    model = SentenceTransformer(
        str(tmp_path / "out"),
        device="cpu",
        prompts={"query": "find: "},
        default_prompt_name="query",
    )
    model.max_seq_length = 16
    model.save(str(tmp_path / "saved"))
    vectors = encode(tmp_path / "saved", sentences)
    assert np.abs(model.encode(sentences) - vectors).max() < CLOSE
    assert np.abs(encode(tmp_path / "out", sentences) - vectors).max() > 0.1
