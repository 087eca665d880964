"""sentence-transformers' folders: what is in them, and what is refused."""

import json

import numpy as np
import pytest
import tiny_checkpoint
from safetensors.numpy import load_file

import amber_jax
from amber_jax.convert import sentence_transformers
from amber_jax.convert.bert import SentenceVector
from amber_jax.errors import UserError
from amber_jax.inference.loading import load_model

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
    assert [(one["idx"], one["path"], one["type"]) for one in modules] == [
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
    wanted = SentenceVector(*vector)
    checkpoint = tiny_checkpoint.write(
        tmp_path / "amber", wordpiece, sentence_vector=wanted._asdict()
    )
    told = convert(f"amber:{checkpoint}", f"sentence-transformers:{tmp_path / 'out'}")
    assert any(sentence.startswith("left behind: mlm_head") for sentence in told)
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
    assert back.sentence_vector == SentenceVector("mean", True)


def test_a_middle_layer_is_the_last_one_of_a_shallower_model(
    checkpoint, convert, tmp_path
):
    out = tmp_path / "out"
    told = convert(f"amber:{checkpoint}", f"sentence-transformers:{out}", layer=1)
    for part in ("mlm_head", "pooler", "next_sentence"):
        assert f"left behind: {part}, it stands on layer 2" in told
    convert(f"sentence-transformers:{out}", f"amber:{tmp_path / 'back'}")

    wanted = amber_jax.load(checkpoint).encode(TEXTS, layer=1)
    found = amber_jax.load(tmp_path / "back").encode(TEXTS)
    assert np.abs(found - wanted).max() < 1e-6
    assert np.abs(found - amber_jax.load(checkpoint).encode(TEXTS)).max() > 0.1


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


def test_vectors_of_length_one_are_told(exported):
    path = exported / "modules.json"
    kind = "sentence_transformers.base.modules.normalize.Normalize"
    last = {"idx": 3, "name": "3", "path": "3_Normalize", "type": kind}
    path.write_text(json.dumps([*content_of(path), last]))
    (note,) = sentence_transformers.read(exported).notes
    assert "length 1" in note


@pytest.mark.parametrize(
    ("file", "fields", "words"),
    [
        ("sentence_bert_config.json", {"max_seq_length": 16}, ["max_seq_length 16"]),
        (
            "config_sentence_transformers.json",
            {"prompts": {"query": "query: ", "document": ""}},
            ["'query: ' (query)"],
        ),
        (
            "config_sentence_transformers.json",
            {"prompts": {"q": "Q: "}, "default_prompt_name": "q"},
            ["'Q: ' (q)", "default_prompt_name 'q'"],
        ),
        ("config_sentence_transformers.json", {"truncate_dim": 8}, ["truncate_dim 8"]),
        (
            "sentence_bert_config.json",
            {"processing_kwargs": {"text": {"max_length": 9}}},
            ["processing_kwargs"],
        ),
        ("sentence_bert_config.json", {"max_seq_length": 512}, []),
        ("config_sentence_transformers.json", {"prompts": {"document": ""}}, []),
        ("config_sentence_transformers.json", {"default_prompt_name": None}, []),
        ("config_sentence_transformers.json", {"similarity_fn_name": "dot"}, []),
    ],
)
def test_settings_that_change_vectors_are_named(
    file, fields, words, exported, convert, tmp_path
):
    change(exported / file, **fields)
    told = convert(f"sentence-transformers:{exported}", f"amber:{tmp_path / 'in'}")
    left = [sentence for sentence in told if sentence.startswith("left behind: ")]
    assert len(left) == len(words)
    for word, sentence in zip(words, left, strict=True):
        assert word in sentence


def test_a_length_in_the_words_of_version_6_is_named(exported):
    (exported / "sentence_bert_config.json").write_text("{}")
    change(exported / "tokenizer_config.json", model_max_length=16)
    (note,) = sentence_transformers.read(exported).notes
    assert "model_max_length 16" in note


def test_a_prompt_outside_of_the_mean_is_named(exported):
    change(exported / "2_Pooling" / "config.json", include_prompt=False)
    assert not sentence_transformers.read(exported).notes
    change(exported / "config_sentence_transformers.json", prompts={"q": "Q: "})
    notes = sentence_transformers.read(exported).notes
    assert len(notes) == 2 and "include_prompt" in notes[1]


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
