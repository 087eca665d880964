"""Against `transformers` itself: numbers in, numbers out, nothing said of weights."""

import functools
import json
import pickle
import zipfile

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from bert_outputs import bert_outputs, farthest, mlm_loss_and_gradient
from safetensors.numpy import load_file

from amber_jax.convert.names import from_params
from amber_jax.errors import UserError

CLOSE = 1e-5
SHAPES = {
    "one layer": {
        "num_hidden_layers": 1,
        "hidden_size": 12,
        "num_attention_heads": 1,
        "intermediate_size": 20,
        "max_position_embeddings": 200,
    },
    "many heads": {
        "num_hidden_layers": 4,
        "hidden_size": 64,
        "num_attention_heads": 16,
        "intermediate_size": 96,
    },
    "narrow": {
        "num_hidden_layers": 3,
        "hidden_size": 48,
        "num_attention_heads": 3,
        "intermediate_size": 16,
        "type_vocab_size": 4,
    },
}


def reference_outputs(model, batch):
    with torch.no_grad():
        output = model(**batch, output_hidden_states=True)
        pooled = model.bert.pooler(output.hidden_states[-1])
    return {
        "hidden_states": torch.stack(output.hidden_states).numpy(),
        "pooler_output": pooled.numpy(),
        "mlm_logits": output.prediction_logits.numpy(),
    }


def assert_close(outputs, wanted, batch):
    assert outputs.keys() == wanted.keys()
    for name, difference in farthest(outputs, wanted, batch).items():
        print(f"{name}: largest difference {difference:.1e}")
        assert difference < CLOSE, name


@pytest.fixture(params=SHAPES)
def model_and_folder(request, random_bert, small_vocabulary, tmp_path):
    folder = tmp_path / "reference"
    return random_bert(small_vocabulary, folder, **SHAPES[request.param]), folder


@pytest.fixture
def random_small(random_bert, small_vocabulary):
    """`random_bert` with the small vocabulary."""
    return functools.partial(random_bert, small_vocabulary)


def test_every_layer_pooler_and_logits_agree(
    model_and_folder, brought_in, batch, tmp_path
):
    model, folder = model_and_folder
    ours = brought_in(f"hf:{folder}", tmp_path / "amber")
    outputs = bert_outputs(ours.config, ours.params, batch)
    assert_close(outputs, reference_outputs(model, batch), batch)


def test_the_mlm_loss_and_its_gradient_agree(
    model_and_folder, brought_in, batch, labels, tmp_path
):
    model, folder = model_and_folder
    ours = brought_in(f"hf:{folder}", tmp_path / "amber")
    assert_gradients_agree(model, ours, batch, labels)


def assert_gradients_agree(model, ours, batch, labels):
    logits = model(**batch).prediction_logits
    wanted = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=-100
    )
    wanted.backward()
    trained = {part: ours.params[part] for part in ("encoder", "mlm_head")}
    loss, gradient = mlm_loss_and_gradient(ours.config, trained, batch, labels)
    assert abs(float(loss) - wanted.item()) < CLOSE
    gradients = from_params(gradient, ours.config, "hf")
    named = dict(model.named_parameters())
    assert len(gradients) == sum(p.grad is not None for p in named.values())
    differences = {
        name: np.abs(tensor - named[name].grad.numpy()).max()
        for name, tensor in gradients.items()
    }
    print(f"gradient: largest difference {max(differences.values()):.1e}")
    assert max(differences.values()) < CLOSE, differences


def test_what_goes_out_loads_without_a_word_and_is_bit_equal(
    model_and_folder, convert, weight_warnings, batch, tmp_path
):
    model, folder = model_and_folder
    convert(f"hf:{folder}", f"amber:{tmp_path / 'amber'}")
    convert(f"amber:{tmp_path / 'amber'}", f"hf:{tmp_path / 'hf'}")
    back = load_silently("BertForPreTraining", tmp_path / "hf", weight_warnings)
    for name, parameter in model.state_dict().items():
        assert torch.equal(parameter, back.state_dict()[name]), name
    outputs = reference_outputs(back.eval(), batch)
    assert_close(outputs, reference_outputs(model, batch), batch)


def load_silently(kind, folder, said):
    model, report = getattr(transformers, kind).from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(report.values()), report
    assert not said
    return model


@pytest.mark.parametrize("kind", ["BertModel", "BertForMaskedLM"])
def test_models_of_other_parts_go_in_and_out(
    kind, random_small, convert, weight_warnings, tmp_path
):
    model = random_small(tmp_path / "in", kind=kind, **SHAPES["one layer"])
    messages = convert(f"hf:{tmp_path / 'in'}", f"amber:{tmp_path / 'amber'}")
    parts = {"BertModel": "encoder, pooler;", "BertForMaskedLM": "encoder, mlm_head;"}
    assert parts[kind] in messages[-1]
    convert(f"amber:{tmp_path / 'amber'}", f"hf:{tmp_path / 'out'}")
    back = load_silently(kind, tmp_path / "out", weight_warnings)
    for name, parameter in model.state_dict().items():
        assert torch.equal(parameter, back.state_dict()[name]), name


def test_a_part_that_a_class_lacks_would_have_been_told(
    random_small, weight_warnings, tmp_path
):
    random_small(tmp_path / "in", kind="BertForMaskedLM", **SHAPES["one layer"])
    transformers.BertModel.from_pretrained(tmp_path / "in")
    assert any("MISSING" in text for text in weight_warnings)


def test_bin_files_and_shards_give_the_same_as_one_file(
    random_small, convert, weight_warnings, tmp_path
):
    model = random_small(tmp_path / "whole", **SHAPES["many heads"])
    convert(f"hf:{tmp_path / 'whole'}", f"hf:{tmp_path / 'wanted'}")
    wanted = load_file(tmp_path / "wanted" / "model.safetensors")

    torch.save(model.state_dict(), tmp_path / "whole" / "pytorch_model.bin")
    (tmp_path / "whole" / "model.safetensors").unlink()
    convert(f"hf:{tmp_path / 'whole'}", f"hf:{tmp_path / 'from_bin'}")

    model.save_pretrained(tmp_path / "shards", max_shard_size="200KB")
    tokenizer = "tokenizer.json"
    (tmp_path / "whole" / tokenizer).rename(tmp_path / "shards" / tokenizer)
    assert not (tmp_path / "shards" / "model.safetensors").exists()
    convert(f"hf:{tmp_path / 'shards'}", f"hf:{tmp_path / 'from_shards'}")

    for name in ("from_bin", "from_shards"):
        weights = load_file(tmp_path / name / "model.safetensors")
        assert weights.keys() == wanted.keys()
        assert all(np.array_equal(weights[key], wanted[key]) for key in wanted)

    convert(
        f"hf:{tmp_path / 'shards'}", f"hf:{tmp_path / 'out'}", max_shard_bytes=200_000
    )
    assert len(list((tmp_path / "out").glob("model-*-of-*.safetensors"))) > 2
    back = load_silently("BertForPreTraining", tmp_path / "out", weight_warnings)
    for name, parameter in model.state_dict().items():
        assert torch.equal(parameter, back.state_dict()[name]), name


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_half_precision_is_cast_and_said(kind, file, random_small, convert, tmp_path):
    folder = tmp_path / "half"
    model = random_small(folder, **SHAPES["one layer"]).to(getattr(torch, kind))
    if file.endswith("bin"):
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / file)
    else:
        model.save_pretrained(folder)
    messages = convert(f"hf:{folder}", f"hf:{tmp_path / 'out'}")
    assert any(f"cast to float32 from {kind}" in sentence for sentence in messages)
    weights = load_file(tmp_path / "out" / "model.safetensors")
    name = "bert.embeddings.word_embeddings.weight"
    assert np.array_equal(weights[name], model.state_dict()[name].float().numpy())


def test_mbert_at_its_real_size(
    random_bert,
    mbert_vocabulary,
    in_pairs,
    convert,
    brought_in,
    every_seventh,
    weight_warnings,
    tmp_path,
):
    model = random_bert(mbert_vocabulary, tmp_path / "mbert", spread=0.02)
    assert model.config.num_hidden_layers == 12 and model.config.hidden_size == 768
    ours = brought_in(f"hf:{tmp_path / 'mbert'}", tmp_path / "amber")
    rows = {name: value[::4] for name, value in in_pairs(mbert_vocabulary).items()}
    outputs = bert_outputs(ours.config, ours.params, rows)
    assert_close(outputs, reference_outputs(model, rows), rows)
    few = {name: value[:2] for name, value in rows.items()}
    assert_gradients_agree(model, ours, few, every_seventh(few))
    convert(f"amber:{tmp_path / 'amber'}", f"hf:{tmp_path / 'out'}")
    back = load_silently("BertForPreTraining", tmp_path / "out", weight_warnings)
    for name, parameter in model.state_dict().items():
        assert torch.equal(parameter, back.state_dict()[name]), name


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", [torch.save, pickle.dump, "zipped", "half"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
    save, random_small, convert, tmp_path
):
    folder = tmp_path / "in"
    model = random_small(folder, **SHAPES["one layer"])
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    content = {"bert.pooler.dense.bias": Malicious(tmp_path / "ran")}
    if save == "half":
        torch.save(model.state_dict(), path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif save == "zipped":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(content))
    else:
        with path.open("wb") as file:
            save(content, file)
    with pytest.raises(UserError, match="is damaged|could be code; it was not run"):
        convert(f"hf:{folder}", f"amber:{tmp_path / 'amber'}")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "amber").exists()


def test_the_card_says_what_is_in_the_folder(random_small, convert, tmp_path):
    random_small(tmp_path / "in", **SHAPES["narrow"])
    convert(f"hf:{tmp_path / 'in'}", f"hf:{tmp_path / 'out'}", license="apache-2.0")
    card = huggingface_hub.ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "transformers"
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["BertForPreTraining"]
