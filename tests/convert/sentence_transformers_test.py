"""sentence-transformers' folders: what is in them, and what is refused."""

import json

import numpy as np
import pytest
import tiny_checkpoint
from safetensors.numpy import load_file, save_file

import amber_jax
from amber_jax.convert import sentence_transformers
from amber_jax.errors import UserError
from amber_jax.inference.loading import load_model
from amber_jax.model.sentence_vector import SentenceVector

TEXTS = ["The cats.", "Un chat", "猫坐 AB"]


def content_of(path):
    return json.loads(path.read_text("utf-8"))


def change(path, **fields):
    path.write_text(json.dumps(content_of(path) | fields))


def change_module(folder, number, **fields):
    path = folder / "modules.json"
    modules = content_of(path)
    modules[number] |= fields
    path.write_text(json.dumps(modules))


@pytest.fixture
def exported(checkpoint, convert, tmp_path):
    """The checkpoint, whose sentences leave out special tokens, as such a folder."""
    convert(f"amber:{checkpoint}", f"sentence-transformers:{tmp_path / 'out'}")
    return tmp_path / "out"


def refused(folder, *words):
    with pytest.raises(UserError) as raised:
        sentence_transformers.read(folder)
    for word in words:
        assert word in str(raised.value)


def test_the_folder_holds_what_the_library_looks_for(exported, wordpiece):
    modules = content_of(exported / "modules.json")
    assert [(module["idx"], module["path"], module["type"]) for module in modules] == [
        (0, "", "sentence_transformers.models.Transformer"),
        (1, "1_WordWeights", "sentence_transformers.models.WordWeights"),
        (2, "2_Pooling", "sentence_transformers.models.Pooling"),
    ]
    pooling = content_of(exported / "2_Pooling" / "config.json")
    assert pooling["word_embedding_dimension"] == 16
    assert [name for name, value in pooling.items() if value is True] == [
        "pooling_mode_mean_tokens",
        "include_prompt",
    ]
    assert content_of(exported / "config.json")["architectures"] == ["BertModel"]
    assert content_of(exported / "sentence_bert_config.json") == {
        "max_seq_length": tiny_checkpoint.POSITIONS,
        "do_lower_case": False,
    }
    words = content_of(exported / "1_WordWeights" / "config.json")
    assert words["vocab"] == wordpiece.pieces(range(wordpiece.vocab_size))
    assert words["word_weights"] == {"[CLS]": 0, "[SEP]": 0}
    weights = load_file(exported / "1_WordWeights" / "model.safetensors")
    left_out = np.flatnonzero(weights["emb_layer.weight"][:, 0] == 0)
    assert left_out.tolist() == [wordpiece.special.cls, wordpiece.special.sep]


def test_a_model_without_a_pooler_says_so(wordpiece, convert, tmp_path):
    checkpoint = tiny_checkpoint.write(tmp_path / "amber", wordpiece)
    convert(f"amber:{checkpoint}", f"sentence-transformers:{tmp_path / 'out'}")
    settings = content_of(tmp_path / "out" / "sentence_bert_config.json")
    assert settings["model_args"] == {"add_pooling_layer": False}


@pytest.mark.parametrize(
    "vector", [("mean", False), ("mean", True), ("first", True), ("first", False)]
)
def test_out_and_in_is_bit_equal_and_keeps_the_pooling(
    vector, wordpiece, convert, tmp_path
):
    wanted = SentenceVector(-1, *vector)
    checkpoint = tiny_checkpoint.write(
        tmp_path / "amber", wordpiece, sentence_vector=wanted._asdict()
    )
    messages = convert(
        f"amber:{checkpoint}", f"sentence-transformers:{tmp_path / 'out'}"
    )
    assert any(sentence.startswith("left behind: mlm_head") for sentence in messages)
    back = sentence_transformers.read(tmp_path / "out")
    assert back.sentence_vector.pooling == wanted.pooling
    if wanted.pooling == "mean":
        assert back.sentence_vector == wanted
    before = load_model(checkpoint).params["encoder"]
    assert back.params.keys() == {"encoder"}
    embeddings = back.params["encoder"]["embeddings"]["word"]["embedding"]
    assert np.array_equal(embeddings, before["embeddings"]["word"]["embedding"])


def test_the_pooling_of_training_is_exported(wordpiece, convert, tmp_path):
    trained = {"seed": 0, "sentence_alignment": {"special_tokens": True}}
    checkpoint = tiny_checkpoint.write(tmp_path / "amber", wordpiece, config=trained)
    convert(f"amber:{checkpoint}", f"sentence-transformers:{tmp_path / 'out'}")
    assert len(content_of(tmp_path / "out" / "modules.json")) == 2
    back = sentence_transformers.read(tmp_path / "out")
    assert back.sentence_vector == SentenceVector(special_tokens=True)


def test_a_middle_layer_is_the_last_one_of_a_shallower_model(
    checkpoint, convert, tmp_path
):
    out = tmp_path / "out"
    messages = convert(f"amber:{checkpoint}", f"sentence-transformers:{out}", layer=1)
    for part in ("mlm_head", "pooler", "next_sentence"):
        assert f"left behind: {part}, it stands on layer 2" in messages
    convert(f"sentence-transformers:{out}", f"amber:{tmp_path / 'back'}")

    wanted = amber_jax.load(checkpoint).encode(TEXTS, layer=1)
    vectors = amber_jax.load(tmp_path / "back").encode(TEXTS)
    assert np.abs(vectors - wanted).max() < 1e-6
    assert np.abs(vectors - amber_jax.load(checkpoint).encode(TEXTS)).max() > 0.1


@pytest.mark.parametrize("layer", [0, 3, -2])
def test_a_layer_that_is_not_there_is_refused(layer, checkpoint, convert, tmp_path):
    with pytest.raises(UserError, match=f"--layer is {layer}; .* layers 1 to 2"):
        convert(f"amber:{checkpoint}", f"hf:{tmp_path / 'out'}", layer=layer)


def test_pooling_in_the_words_of_version_6_is_read(exported):
    path = exported / "2_Pooling" / "config.json"
    path.write_text('{"embedding_dimension": 16, "pooling_mode": "cls"}')
    assert sentence_transformers.read(exported).sentence_vector.pooling == "first"
    path.write_text('{"embedding_dimension": 16, "pooling_mode": ["mean"]}')
    assert sentence_transformers.read(exported).sentence_vector.pooling == "mean"


def add_module(folder, kind):
    path = folder / "modules.json"
    modules = content_of(path)
    name = f"{len(modules)}_{kind}"
    place = f"sentence_transformers.base.modules.{kind.lower()}.{kind}"
    last = {"idx": len(modules), "name": name, "path": name, "type": place}
    path.write_text(json.dumps([*modules, last]))
    (folder / name).mkdir()
    return folder / name


def test_how_sentences_are_given_travels(exported, convert, tmp_path):
    """Prompts, the length that they are cut at, and that vectors have length 1."""
    prompts = {"query": "The ", "document": ""}
    settings = {"prompts": prompts, "default_prompt_name": "query"}
    change(exported / "config_sentence_transformers.json", **settings)
    change(exported / "sentence_bert_config.json", max_seq_length=5)
    add_module(exported, "Normalize")
    assert not sentence_transformers.read(exported).notes
    convert(f"sentence-transformers:{exported}", f"amber:{tmp_path / 'amber'}")
    out = tmp_path / "again"
    convert(f"amber:{tmp_path / 'amber'}", f"sentence-transformers:{out}")
    library = content_of(out / "config_sentence_transformers.json")
    assert settings.items() <= library.items()
    assert content_of(out / "sentence_bert_config.json")["max_seq_length"] == 5
    assert content_of(out / "modules.json")[-1]["type"].endswith("Normalize")

    for folder in (exported, tmp_path / "amber", out):
        model = amber_jax.load(folder)
        with pytest.warns(UserWarning, match="cut at the model's 5 positions: 1"):
            vectors = model.encode(["cat", "cats , . cats cats"])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
        plain = model.encode(["The cat"], prompt="", normalize=False)
        assert not np.allclose(np.linalg.norm(plain), 1)
        for prompt in (None, "query", "The "):
            prompted = model.encode(["cat"], prompt=prompt, normalize=True)
            np.testing.assert_allclose(prompted, vectors[:1], atol=1e-6)
            prompted = model.encode(["cat"], prompt=prompt, normalize=False)
            np.testing.assert_allclose(prompted, plain, atol=1e-5)


@pytest.fixture
def with_pooler(wordpiece, convert, tmp_path):
    """A folder as LaBSE's: [CLS], the pooler as a Dense, vectors of length 1."""
    checkpoint = tiny_checkpoint.write(
        tmp_path / "labse",
        wordpiece,
        extra_parts=("pooler",),
        sentence_vector={"pooling": "pooler"},
        encoding={"normalize": True},
    )
    convert(f"amber:{checkpoint}", f"sentence-transformers:{tmp_path / 'out'}")
    return tmp_path / "out"


def test_a_dense_behind_the_first_token_is_the_pooler(with_pooler, convert, tmp_path):
    kinds = [
        module["type"].split(".")[-1]
        for module in content_of(with_pooler / "modules.json")
    ]
    assert kinds == ["Transformer", "Pooling", "Dense", "Normalize"]
    assert content_of(with_pooler / "1_Pooling" / "config.json")[
        "pooling_mode_cls_token"
    ]
    dense = load_file(with_pooler / "2_Dense" / "model.safetensors")
    model = amber_jax.load(with_pooler)
    assert model.sentence_vector == SentenceVector(2, "pooler", True)
    first = model.encode(TEXTS, pooling="first", normalize=False)
    wanted = np.tanh(first @ dense["linear.weight"].T + dense["linear.bias"])
    np.testing.assert_allclose(model.encode(TEXTS, normalize=False), wanted, atol=1e-6)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(model.encode(TEXTS), wanted, atol=1e-6)
    with pytest.raises(UserError, match="layer is 1, but a pooler stands on the last"):
        model.encode(TEXTS, layer=1)

    source = f"sentence-transformers:{with_pooler}"
    messages = convert(source, f"sentence-transformers:{tmp_path / 'one'}", layer=1)
    assert "left behind: pooler, it stands on layer 2" in messages
    assert amber_jax.load(tmp_path / "one").sentence_vector.pooling == "first"


def test_another_pooler_behind_the_dense_is_named(with_pooler):
    path = with_pooler / "2_Dense" / "model.safetensors"
    tensors = load_file(path)
    tensors["linear.bias"] += 1
    save_file(tensors, path)
    bert = sentence_transformers.read(with_pooler)
    assert bert.notes == (
        f"left behind: pooler, {with_pooler / '2_Dense'} takes its place",
    )
    assert np.array_equal(bert.params["pooler"]["bias"], tensors["linear.bias"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"activation_function": "torch.nn.modules.linear.Identity"}, "Identity"),
        ({"out_features": 8}, "out_features is 8"),
        ({"bias": False}, "bias is False"),
    ],
)
def test_another_dense_is_refused(fields, words, with_pooler):
    change(with_pooler / "2_Dense" / "config.json", **fields)
    refused(with_pooler, words, "the only Dense that can be converted is BERT's pooler")


def test_a_dense_behind_a_mean_is_refused(with_pooler):
    modes = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    change(with_pooler / "1_Pooling" / "config.json", **modes)
    refused(with_pooler, "pooling is 'mean'; the only Dense")


def test_a_pooler_that_is_not_there_is_refused(wordpiece, tmp_path):
    model = amber_jax.load(tiny_checkpoint.write(tmp_path / "amber", wordpiece))
    with pytest.raises(UserError, match="pooling is 'pooler', but the model has none"):
        model.encode(TEXTS, pooling="pooler")


@pytest.mark.parametrize(
    ("file", "fields", "words"),
    [
        ("config_sentence_transformers.json", {"truncate_dim": 8}, ["truncate_dim 8"]),
        (
            "sentence_bert_config.json",
            {"processing_kwargs": {"text": {"max_length": 9}}},
            ["processing_kwargs"],
        ),
        ("sentence_bert_config.json", {"max_seq_length": 512}, []),
        ("config_sentence_transformers.json", {"similarity_fn_name": "dot"}, []),
    ],
)
def test_settings_that_change_vectors_are_named(
    file, fields, words, exported, convert, tmp_path
):
    change(exported / file, **fields)
    messages = convert(f"sentence-transformers:{exported}", f"amber:{tmp_path / 'in'}")
    left = [sentence for sentence in messages if sentence.startswith("left behind: ")]
    assert len(left) == len(words)
    for word, sentence in zip(words, left, strict=True):
        assert word in sentence


def test_a_length_in_the_words_of_version_6_is_read(exported):
    (exported / "sentence_bert_config.json").write_text("{}")
    change(exported / "tokenizer_config.json", model_max_length=16)
    assert sentence_transformers.read(exported).encoding.max_length == 16


@pytest.mark.parametrize(
    ("file", "fields", "words"),
    [
        ("sentence_bert_config.json", {"max_seq_length": "16"}, "max_seq_length"),
        ("sentence_bert_config.json", {"max_seq_length": 2}, "is 2; wanted a number"),
        ("config_sentence_transformers.json", {"prompts": ["Q: "]}, "prompts is"),
        ("config_sentence_transformers.json", {"prompts": {"q": 3}}, "prompts is"),
        (
            "config_sentence_transformers.json",
            {"default_prompt_name": "q"},
            "default_prompt_name 'q'",
        ),
    ],
)
def test_broken_settings_of_sentences_are_refused(file, fields, words, exported):
    change(exported / file, **fields)
    refused(exported, words)


def test_a_prompt_outside_of_the_mean_is_named(exported):
    change(exported / "2_Pooling" / "config.json", include_prompt=False)
    assert not sentence_transformers.read(exported).notes
    change(exported / "config_sentence_transformers.json", prompts={"q": "Q: "})
    (note,) = sentence_transformers.read(exported).notes
    assert "include_prompt" in note


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pooling_mode_max_tokens": True}, "mean and pooling_mode_max_tokens"),
        ({"pooling_mode": "weightedmean"}, "its pooling is weightedmean"),
        ({"pooling_mode": ["mean", "cls"]}, "its pooling is mean and cls"),
        ({"pooling_mode_mean_tokens": False}, "its pooling is none"),
    ],
)
def test_other_poolings_are_refused(fields, words, exported):
    change(exported / "2_Pooling" / "config.json", **fields)
    refused(exported, words)


def test_weights_of_other_words_are_refused(exported):
    change(exported / "1_WordWeights" / "config.json", word_weights={"The": 2})
    refused(exported, "weighs words")


def test_a_lower_casing_transformer_is_refused(exported):
    change(exported / "sentence_bert_config.json", do_lower_case=True)
    refused(exported, "do_lower_case is set")


def test_other_modules_are_refused(exported):
    change_module(exported, 1, type="sentence_transformers.models.Dense")
    refused(exported, "its modules are Transformer, Dense, Pooling")


@pytest.mark.parametrize("path", ["../2_Pooling", "/etc", "a/b", "..", 7])
def test_modules_elsewhere_are_refused(path, exported):
    change_module(exported, 2, path=path)
    refused(exported, "modules.json")


@pytest.mark.parametrize("content", ["", "{}", "[]", "[7]", '[{"type": "x"}]', "7"])
def test_a_damaged_list_of_modules_is_refused(content, exported):
    (exported / "modules.json").write_text(content)
    refused(exported, "modules.json")
