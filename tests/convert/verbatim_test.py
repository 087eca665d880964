"""Models with a tokenizer that is kept as it is, out and in again."""

import json

import library_folders
import numpy as np
import pytest
import tiny_checkpoint
from safetensors.numpy import load_file

import amber_jax
from amber_jax.convert import tokenizer_files
from amber_jax.errors import UserError
from amber_jax.tokenization import load_tokenizer

PADDING = 35  # entries of the model without a piece, as multilingual E5 has them


@pytest.fixture(scope="module")
def xlmr(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xlmr")
    text = [f"{number} words and числа 和 شيء" for number in range(400)]
    library_folders.write_fairseq(folder, text, vocab_size=90)
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def checkpoint(xlmr, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "amber"
    return tiny_checkpoint.write(folder, xlmr, padding=PADDING)


@pytest.fixture(scope="module")
def exported(checkpoint, convert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "hf"
    convert(f"amber:{checkpoint}", f"hf:{folder}")
    return folder


def test_tokenizer_json_leaves_byte_for_byte(checkpoint, exported):
    there, here = (
        (folder / "tokenizer.json").read_bytes()
        for folder in (checkpoint / "tokenizer", exported)
    )
    assert there == here


def test_settings_name_the_roles(xlmr, exported):
    settings = json.loads((exported / "tokenizer_config.json").read_text())
    names = [settings[f"{role}_token"] for role in ("pad", "unk", "cls", "sep", "mask")]
    assert names == ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    assert settings["model_max_length"] == tiny_checkpoint.POSITIONS
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert 'fill("Paris is the capital of <mask>.")' in (
        (exported / "README.md").read_text("utf-8")
    )


def test_it_comes_back_the_same_in_a_padded_vocabulary(xlmr, exported):
    size = xlmr.vocab_size + PADDING
    back = tokenizer_files.read(exported, vocab_size=size)
    assert back.fingerprint == xlmr.fingerprint
    assert back.special == xlmr.special
    with pytest.raises(UserError, match="files that belong together"):
        tokenizer_files.read(exported, vocab_size=xlmr.vocab_size - 1)


def test_a_mean_without_special_tokens_names_them_by_role(
    xlmr, checkpoint, convert, tmp_path
):
    convert(f"amber:{checkpoint}", f"sentence-transformers:{tmp_path / 'out'}")
    words = json.loads((tmp_path / "out" / "1_WordWeights/config.json").read_text())
    assert words["word_weights"] == {"<s>": 0, "</s>": 0}
    weights = load_file(tmp_path / "out" / "1_WordWeights" / "model.safetensors")
    left_out = np.flatnonzero(weights["emb_layer.weight"][:, 0] == 0)
    assert left_out.tolist() == sorted([xlmr.special.cls, xlmr.special.sep])
    convert(f"sentence-transformers:{tmp_path / 'out'}", f"amber:{tmp_path / 'in'}")
    model = amber_jax.load(tmp_path / "in")
    assert model.tokenizer.fingerprint == xlmr.fingerprint


def test_masks_are_written_as_the_vocabulary_writes_them(checkpoint):
    model = amber_jax.load(checkpoint)
    (pieces,) = model.fill_mask("12 <mask>", top_k=10**6)
    assert len(pieces) == model.tokenizer.vocab_size
    with pytest.raises(UserError, match="wanted a text with <mask>"):
        model.fill_mask("12 [MASK]")
