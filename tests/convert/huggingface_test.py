"""The reference library's folders: its numbers, its names, and what is refused."""

import json

import numpy as np
import pytest
from bert_outputs import bert_outputs, farthest, mlm_loss_and_gradient
from safetensors.numpy import load_file, save_file

import amber_jax
from amber_jax.convert import huggingface
from amber_jax.convert.architecture import read_config
from amber_jax.convert.names import from_params
from amber_jax.errors import UserError
from amber_jax.inference.loading import load_model

CLOSE = 1e-5
TIED = {"lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight"}
SPECIAL_IDS = {
    "hf_tiny": ["pad_token_id"],
    "xlmr_tiny": ["pad_token_id", "bos_token_id", "eos_token_id"],
}
WORDS = "bert.embeddings.word_embeddings.weight"
MISSING = {
    "config.json": r"config\.json cannot be read",
    "model.safetensors": r"has no weights; wanted model\.safetensors",
    "tokenizer.json": r"has no tokenizer; wanted one of sentencepiece\.model",
}
LAYER_NAMES = [
    *(f"attention.self.{part}.{end}" for part in ("query", "key", "value")
      for end in ("weight", "bias")),
    "attention.output.dense.weight",
    "attention.output.dense.bias",
    "attention.output.LayerNorm.weight",
    "attention.output.LayerNorm.bias",
    "intermediate.dense.weight",
    "intermediate.dense.bias",
    "output.dense.weight",
    "output.dense.bias",
    "output.LayerNorm.weight",
    "output.LayerNorm.bias",
]  # fmt: skip


def respell(folder, change):
    """Rewrites the folder's tensors as `change(name, array)` -> (name, array) says."""
    path = folder / "model.safetensors"
    changed = [change(name, array) for name, array in load_file(path).items()]
    save_file(dict(pair for pair in changed if pair is not None), path)


def bare(name, array):
    """What the class without heads has of a tensor."""
    inner = name.removeprefix("bert.").removeprefix("roberta.")
    return None if name == inner else (inner, array)


def set_config(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def assert_same_params(model, other):
    params, others = (
        from_params(bert.params, bert.config, "hf") for bert in (model, other)
    )
    assert params.keys() == others.keys()
    assert all(np.array_equal(params[name], others[name]) for name in params)


def test_every_layer_pooler_and_logits_agree_with_the_reference(
    hf_tiny, convert, rows, expected, tmp_path
):
    convert(f"hf:{hf_tiny}", f"amber:{tmp_path / 'amber'}")
    model = load_model(tmp_path / "amber")
    outputs = bert_outputs(model.config, model.params, rows)
    assert outputs.keys() == {"hidden_states", "pooler_output", "mlm_logits"}
    assert max(farthest(outputs, expected, rows).values()) < CLOSE


def test_an_xlm_roberta_agrees_with_the_reference_loaded_directly(
    xlmr_tiny, expected_xlmr
):
    model = amber_jax.load(xlmr_tiny)
    config = model.config
    assert (config.position_offset, config.second_segment) == (2, 0)
    assert (config.layer_norm_epsilon, config.usable_positions) == (1e-5, 32)
    outputs = bert_outputs(config, model.params, expected_xlmr)
    assert outputs.keys() == {"hidden_states", "mlm_logits"}
    assert max(farthest(outputs, expected_xlmr, expected_xlmr).values()) < CLOSE


@pytest.mark.parametrize("dialect", ["hf", "roberta"])
def test_the_mlm_loss_and_its_gradient_agree_with_the_reference(dialect, request):
    folder, expected = (
        request.getfixturevalue(name)
        for name in {
            "hf": ("hf_tiny", "expected"),
            "roberta": ("xlmr_tiny", "expected_xlmr"),
        }[dialect]
    )
    rows = {n: expected[n] for n in ("input_ids", "token_type_ids", "attention_mask")}
    bert = huggingface.read(folder)
    trained = {part: bert.params[part] for part in ("encoder", "mlm_head")}
    loss, gradient = mlm_loss_and_gradient(
        bert.config, trained, rows, expected["labels"]
    )
    assert abs(float(loss) - expected["loss"]) < CLOSE
    gradients = from_params(gradient, bert.config, dialect)
    wanted = {
        name.removeprefix("gradient/"): value
        for name, value in expected.items()
        if name.startswith("gradient/")
    }
    wanted = {TIED.get(name, name): value for name, value in wanted.items()}
    assert gradients.keys() == wanted.keys()
    for name, array in gradients.items():
        assert np.abs(array - wanted[name]).max() < CLOSE, name


def test_the_tokenizer_makes_the_rows_of_the_reference(hf_tiny, rows):
    tokenizer = huggingface.read(hf_tiny).tokenizer
    cls, sep = tokenizer.special.cls, tokenizer.special.sep
    pair = tokenizer.encode("The cat sat."), tokenizer.encode("Un chat, qui sat.")
    assert [cls, *pair[0], sep, *pair[1], sep] == rows["input_ids"][0].tolist()


@pytest.mark.parametrize("kind", ["hf_tiny", "xlmr_tiny"])
@pytest.mark.parametrize("parts", ["all", "encoder"])
def test_in_and_out_is_bit_equal_under_the_same_names(
    kind, parts, request, convert, tmp_path
):
    folder = request.getfixturevalue(kind)
    if parts == "encoder":
        respell(folder, bare)
        classes = {"hf_tiny": "BertModel", "xlmr_tiny": "XLMRobertaModel"}
        set_config(folder, architectures=[classes[kind]])
    convert(f"hf:{folder}", f"amber:{tmp_path / 'amber'}")
    convert(f"amber:{tmp_path / 'amber'}", f"hf:{tmp_path / 'out'}")
    before = load_file(folder / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    was = json.loads((folder / "config.json").read_text())
    now = json.loads((tmp_path / "out" / "config.json").read_text())
    assert {name: was[name] for name in now if name in was} == {
        name: now[name] for name in now if name in was
    }
    for name in (*SPECIAL_IDS[kind], "architectures", "model_type", "layer_norm_eps"):
        assert was[name] == now[name]


def test_an_export_has_exactly_the_names_of_the_reference(
    checkpoint, convert, tmp_path
):
    convert(f"amber:{checkpoint}", f"hf:{tmp_path / 'out'}")
    names = set(load_file(tmp_path / "out" / "model.safetensors"))
    assert names == {
        WORDS,
        "bert.embeddings.position_embeddings.weight",
        "bert.embeddings.token_type_embeddings.weight",
        "bert.embeddings.LayerNorm.weight",
        "bert.embeddings.LayerNorm.bias",
        *(f"bert.encoder.layer.{n}.{name}" for n in (0, 1) for name in LAYER_NAMES),
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
        "cls.predictions.bias",
        "cls.predictions.transform.dense.weight",
        "cls.predictions.transform.dense.bias",
        "cls.predictions.transform.LayerNorm.weight",
        "cls.predictions.transform.LayerNorm.bias",
        "cls.seq_relationship.weight",
        "cls.seq_relationship.bias",
    }
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["BertForPreTraining"]
    assert (config["hidden_act"], config["layer_norm_eps"]) == ("gelu", 1e-12)


def test_names_of_2018_are_understood(hf_tiny):
    wanted = huggingface.read(hf_tiny)
    ends = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

    def old(name, array):
        for new, former in ends.items():
            name = name.replace(new, former)
        return name, array

    respell(hf_tiny, old)
    assert "bert.embeddings.LayerNorm.gamma" in load_file(hf_tiny / "model.safetensors")
    assert_same_params(huggingface.read(hf_tiny), wanted)


def test_a_bare_encoder_has_no_prefix_and_no_head(hf_tiny, convert, tmp_path):
    respell(hf_tiny, bare)
    assert huggingface.read(hf_tiny).params.keys() == {"encoder", "pooler"}
    messages = convert(f"hf:{hf_tiny}", f"hf:{tmp_path / 'out'}")
    assert "encoder, pooler; " in messages[-1]
    names = load_file(tmp_path / "out" / "model.safetensors").keys()
    assert names == load_file(hf_tiny / "model.safetensors").keys()
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["BertModel"]


@pytest.mark.parametrize(
    ("kind", "prefix", "head"),
    [("hf_tiny", "bert", "cls.predictions"), ("xlmr_tiny", "roberta", "lm_head")],
)
def test_a_copy_of_a_tied_decoder_is_accepted_and_another_one_refused(
    kind, prefix, head, request
):
    folder = request.getfixturevalue(kind)
    wanted = huggingface.read(folder)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    words = f"{prefix}.embeddings.word_embeddings.weight"
    tensors[f"{head}.decoder.weight"] = tensors[words].copy()
    tensors[f"{head}.decoder.bias"] = tensors.pop(f"{head}.bias")
    save_file(tensors, path)
    assert_same_params(huggingface.read(folder), wanted)
    tensors[f"{head}.decoder.weight"][3, 3] += 1e-6
    save_file(tensors, path)
    with pytest.raises(UserError, match=rf"decoder\.weight is not {prefix}\.embedd"):
        huggingface.read(folder)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pad_token_id": -1}, "pad_token_id is -1; wanted a number from 0"),
        ({"pad_token_id": None}, "pad_token_id is None"),
        ({"pad_token_id": 33}, "max_position_embeddings is 34; wanted more than 34"),
    ],
)
def test_an_xlm_roberta_without_positions_is_refused(fields, words, xlmr_tiny):
    set_config(xlmr_tiny, **fields)
    with pytest.raises(UserError, match=words):
        huggingface.read(xlmr_tiny)


def test_positions_that_no_xlm_roberta_has_are_not_exported(
    xlmr_tiny, convert, tmp_path
):
    set_config(xlmr_tiny, pad_token_id=4)
    with pytest.raises(UserError, match="position_offset is 5, .* padding is 1"):
        convert(f"hf:{xlmr_tiny}", f"hf:{tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()


def pair_template(segment):
    pieces = ["[CLS]", "A", "[SEP]", "B", "[SEP]"]
    return [
        {"Sequence" if p in "AB" else "SpecialToken": {"id": p, "type_id": n}}
        for p, n in zip(pieces, [0, 0, 0, segment, segment], strict=True)
    ]


def in_sequence(step):
    steps = [{"type": "ByteLevel"}, step]
    return {"post_processor": {"type": "Sequence", "processors": steps}}


@pytest.mark.parametrize(
    ("files", "segment"),
    [
        ({}, 1),
        ({"config.json": {"tokenizer_class": "BertTokenizer"}}, 1),
        ({"config.json": {"tokenizer_class": "XLMRobertaTokenizer"}}, 0),
        ({"tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizerFast"}}, 0),
        ({"tokenizer.json": {"post_processor": {"pair": pair_template(1)}}}, 1),
        ({"tokenizer.json": {"post_processor": {"pair": pair_template(0)}}}, 0),
        ({"tokenizer.json": {"post_processor": {"type": "RobertaProcessing"}}}, 0),
        ({"tokenizer.json": in_sequence({"type": "RobertaProcessing"})}, 0),
        ({"tokenizer.json": in_sequence({"pair": pair_template(0)})}, 0),
        ({"config.json": {"type_vocab_size": 1}}, 0),
    ],
)
def test_the_segment_of_a_second_sentence_is_the_tokenizers(files, segment, hf_tiny):
    """In a BERT with XLM-R's vocabulary, as multilingual E5 and MiniLM are, it is 0."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (hf_tiny / name).write_text("{}")
    for name, fields in files.items():
        content = json.loads((hf_tiny / name).read_text())
        (hf_tiny / name).write_text(json.dumps(content | fields))
    assert read_config(hf_tiny).second_segment == segment


def test_buffers_are_left_behind_and_that_is_said(hf_tiny):
    path = hf_tiny / "model.safetensors"
    numbers = {"bert.embeddings.position_ids": np.arange(20)[None]}
    save_file({**load_file(path), **numbers}, path)
    (note,) = huggingface.read(hf_tiny).notes
    assert note == "left behind: bert.embeddings.position_ids (counting buffer)"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cls.predictions.bias": None}, "1 missing: cls.predictions.bias"),
        ({"classifier.weight": np.ones((2, 8))}, "1 unexpected: classifier.weight"),
        ({WORDS: np.ones((28, 9))}, f"{WORDS} [28, 9] instead of [28, 8]"),
        ({"embeddings.LayerNorm.bias": np.ones(8)}, "LayerNorm.bias twice, once as"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_nothing_is_written(
    change, words, hf_tiny, convert, tmp_path
):
    path = hf_tiny / "model.safetensors"
    changed = {**load_file(path), **change}
    kept = {name: array for name, array in changed.items() if array is not None}
    save_file({n: np.asarray(a, np.float32) for n, a in kept.items()}, path)
    before = set(tmp_path.iterdir())
    for target in ("amber", "hf"):
        with pytest.raises(UserError) as raised:
            convert(f"hf:{hf_tiny}", f"{target}:{tmp_path / 'out'}")
        assert words in str(raised.value)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"model_type": "roberta-prelayernorm"},
            "model_type is 'roberta-prelayernorm'",
        ),
        ({"model_type": None}, "only 'bert' and 'xlm-roberta' can be converted"),
        ({"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'"),
        ({"position_embedding_type": "relative_key"}, "is 'relative_key'"),
        ({"layer_norm_eps": -1e-5}, "layer_norm_eps is -1e-05"),
        ({"is_decoder": True}, "is_decoder is True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"auto_map": {"AutoModel": "model.Model"}}, "auto_map is"),
        ({"quantization_config": {"bits": 8}}, "quantization_config is"),
        ({"hidden_size": 0}, "hidden_size is 0; wanted a number above 0"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers is '2'"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"vocab_size": None}, "vocab_size is None"),
        ({"num_attention_heads": 3}, "is not a multiple of num_attention_heads 3"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob is 1.5"),
        ({"initializer_range": float("nan")}, "initializer_range is nan"),
        ({"num_hidden_layers": 10**15}, "too few for the 1000000000000000 layers"),
        ({"vocab_size": 10**15}, "instead of [1000000000000000, 8]"),
    ],
)
def test_other_architectures_and_sizes_are_refused(fields, words, hf_tiny):
    set_config(hf_tiny, **fields)
    with pytest.raises(UserError) as raised:
        huggingface.read(hf_tiny)
    assert words in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ["", "[]", "{", "\xff", "[" * 100_000, "7"])
def test_a_damaged_config_is_refused(content, hf_tiny):
    (hf_tiny / "config.json").write_text(content, "latin-1")
    with pytest.raises(UserError, match=r"config\.json is not a"):
        huggingface.read(hf_tiny)


@pytest.mark.parametrize("name", MISSING)
def test_a_folder_with_a_file_missing_is_refused(name, hf_tiny):
    (hf_tiny / name).unlink()
    with pytest.raises(UserError, match=MISSING[name]):
        huggingface.read(hf_tiny)
