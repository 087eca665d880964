"""A checkpoint that TensorFlow wrote in Google's naming: the same numbers come out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from bert_outputs import bert_outputs, farthest
from safetensors.numpy import load_file

from amber_jax.convert import tensorflow_bert
from amber_jax.convert.names import from_params
from amber_jax.errors import UserError
from amber_jax.inference.loading import load_model

STORED = Path(__file__).parents[1] / "data" / "convert"
CLOSE = 1e-5
GOOGLES = (  # one spelling after the other
    ("encoder.layer.", "encoder.layer_"),
    ("_embeddings.weight", "_embeddings"),
    ("cls.predictions.bias", "cls.predictions.output_bias"),
    ("seq_relationship.weight", "seq_relationship.output_weights"),
    ("seq_relationship.bias", "seq_relationship.output_bias"),
    ("LayerNorm.weight", "LayerNorm.gamma"),
    ("LayerNorm.bias", "LayerNorm.beta"),
    (".weight", ".kernel"),
    (".", "/"),
)


def googles(tensors):
    """Returns the reference's tensors as Google's BERT calls and keeps them."""
    renamed = {}
    for name, array in tensors.items():
        for theirs, googles_own in GOOGLES:
            name = name.replace(theirs, googles_own)
        renamed[name] = array.T if name.endswith("/kernel") else array
    return renamed


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function: tensors to a folder with their checkpoint, as a TF1 Saver has it."""
    import tensorflow.compat.v1 as tf

    def write(tensors):
        folder = tmp_path_factory.mktemp("tf1")
        with tf.Graph().as_default(), tf.Session() as session:
            for name, array in tensors.items():
                tf.get_variable(name, initializer=array, use_resource=False)
            tf.train.get_or_create_global_step()
            session.run(tf.global_variables_initializer())
            tf.train.Saver().save(session, str(folder / "bert_model.ckpt"))
        return folder

    return write


@pytest.fixture(scope="module")
def tensors():
    return googles(load_file(STORED / "hf_tiny" / "model.safetensors"))


@pytest.fixture(scope="module")
def stored(written, tensors):
    """The stored model as Google would have released it."""
    memory = {
        f"{name}/adam_{letter}": array * 0 for name, array in tensors.items()
        for letter in "mv"
    }  # fmt: skip
    folder = written(tensors | memory)
    config = json.loads((STORED / "hf_tiny" / "config.json").read_text())
    kept = (
        *("attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob"),
        *("hidden_size", "initializer_range", "intermediate_size"),
        *("max_position_embeddings", "num_attention_heads", "num_hidden_layers"),
        *("type_vocab_size", "vocab_size"),
    )
    googles_config = {name: config[name] for name in kept} | {"directionality": "bidi"}
    (folder / "bert_config.json").write_text(json.dumps(googles_config))
    library = json.loads((STORED / "hf_tiny" / "tokenizer.json").read_text("utf-8"))
    pieces = library["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    return folder


@pytest.fixture
def folder(stored, tmp_path):
    """A copy of that, to be spoilt."""
    return shutil.copytree(stored, tmp_path / "tf1")


def test_its_outputs_are_those_of_the_reference(
    stored, convert, rows, expected, tmp_path
):
    messages = convert(f"tf1:{stored}", f"amber:{tmp_path / 'amber'}")
    assert messages[0] == "left behind: 93 arrays (optimizer memory, step counter)"
    model = load_model(tmp_path / "amber")
    outputs = bert_outputs(model.config, model.params, rows)
    assert max(farthest(outputs, expected, rows).values()) < CLOSE
    assert outputs.keys() == {"hidden_states", "pooler_output", "mlm_logits"}


def test_out_and_in_is_bit_equal_and_tensorflow_reads_it(
    stored, tensors, convert, tmp_path
):
    import tensorflow as tf

    convert(f"tf1:{stored}", f"hf:{tmp_path / 'hf'}")
    convert(f"hf:{tmp_path / 'hf'}", f"tf1:{tmp_path / 'out'}")
    reader = tf.train.load_checkpoint(str(tmp_path / "out" / "bert_model.ckpt"))
    assert reader.get_variable_to_shape_map().keys() == tensors.keys()
    for name, array in tensors.items():
        assert np.array_equal(reader.get_tensor(name), array), name
    for name in ("vocab.txt", "bert_config.json"):
        assert (tmp_path / "out" / name).is_file()
    assert (tmp_path / "out" / "vocab.txt").read_bytes() == (
        stored / "vocab.txt"
    ).read_bytes()


def test_slots_and_scalars_of_an_optimizer_are_left_behind(written, tensors, stored):
    slots = {
        f"{name}/{slot}": array * 0 for name, array in tensors.items()
        for slot in ("Adam", "Adam_1")
    }  # fmt: skip
    powers = {"beta1_power": np.float32(0.9), "beta2_power": np.float32(0.999)}
    folder = written(tensors | slots | powers)
    for name in ("vocab.txt", "bert_config.json"):
        shutil.copy(stored / name, folder)
    bert = tensorflow_bert.read(folder)
    (note,) = bert.notes
    assert note.startswith(f"left behind: {2 * len(tensors) + 3} arrays")
    arrays = from_params(bert.params, bert.config, "tf1")
    assert arrays.keys() == tensors.keys()
    assert all(np.array_equal(arrays[name], tensors[name]) for name in tensors)


def test_a_scalar_that_is_no_optimizers_is_named(written, tensors, stored):
    folder = written(tensors | {"bert/temperature": np.float32(2)})
    for name in ("vocab.txt", "bert_config.json"):
        shutil.copy(stored / name, folder)
    with pytest.raises(UserError, match="1 unexpected: bert/temperature"):
        tensorflow_bert.read(folder)


def test_a_checkpoint_of_another_name_is_found_if_it_is_alone(folder):
    for path in folder.glob("bert_model.ckpt.*"):
        path.rename(folder / path.name.replace("bert_model.ckpt", "model.ckpt-9"))
    assert tensorflow_bert.read(folder).config.num_layers == 2
    (folder / "other.index").touch()
    with pytest.raises(UserError, match="has 2 TensorFlow checkpoints"):
        tensorflow_bert.read(folder)


def test_a_folder_without_a_checkpoint_is_refused(folder):
    (folder / "bert_model.ckpt.index").unlink()
    with pytest.raises(UserError, match="has 0 TensorFlow checkpoints"):
        tensorflow_bert.read(folder)


@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("kept", [0, 40])
def test_a_truncated_checkpoint_is_refused(suffix, kept, folder):
    path = folder / f"bert_model.ckpt.{suffix}"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match="is not a readable TensorFlow checkpoint"):
        tensorflow_bert.read(folder)


def test_a_flipped_bit_is_refused(folder):
    path = folder / "bert_model.ckpt.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not a readable TensorFlow checkpoint"):
        tensorflow_bert.read(folder)


def test_a_shape_larger_than_the_file_asks_for_no_memory(folder):
    import tensorflow as tf

    tf.raw_ops.SaveV2(
        prefix=str(folder / "bert_model.ckpt"),
        tensor_names=["bert/embeddings/word_embeddings"],
        shape_and_slices=["1000000000000 8 0,1:0,8"],  # a slice of it is there
        tensors=[tf.ones((1, 8))],
    )
    with pytest.raises(UserError, match="shapes are larger than its files"):
        tensorflow_bert.read(folder)


def test_arrays_that_do_not_fit_are_named(written, tensors, stored):
    changed = dict(tensors)
    changed["bert/extra"] = changed.pop("bert/embeddings/LayerNorm/beta")
    folder = written(changed)
    for name in ("vocab.txt", "bert_config.json"):
        shutil.copy(stored / name, folder)
    with pytest.raises(UserError) as raised:
        tensorflow_bert.read(folder)
    assert "1 missing: bert/embeddings/LayerNorm/beta" in str(raised.value)
    assert "1 unexpected: bert/extra" in str(raised.value)


def test_a_vocabulary_without_capitals_is_refused(folder):
    words = (folder / "vocab.txt").read_text("utf-8")
    spoilt = words.replace("The", "the").replace("Un", "un").replace("Кот", "кот")
    (folder / "vocab.txt").write_text(spoilt.replace("[unk]", "[UNK]"), "utf-8")
    with pytest.raises(UserError, match="of an uncased model"):
        tensorflow_bert.read(folder)


def test_what_is_no_bert_does_not_fit_into_the_format(xlmr_tiny, convert, tmp_path):
    with pytest.raises(UserError, match="position_offset is 2, and tf1 .* are of BERT"):
        convert(f"hf:{xlmr_tiny}", f"tf1:{tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()


def test_another_epsilon_is_refused(folder):
    path = folder / "bert_config.json"
    fields = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(fields | {"layer_norm_eps": 1e-5}), "utf-8")
    with pytest.raises(UserError, match="layer_norm_eps is 1e-05; Google's BERT has"):
        tensorflow_bert.read(folder)


def test_a_sentencepiece_does_not_fit_into_the_format(unigram, convert, tmp_path):
    import tiny_checkpoint

    checkpoint = tiny_checkpoint.write(tmp_path / "amber", unigram)
    with pytest.raises(UserError, match="convert it to hf or sentence-transformers"):
        convert(f"amber:{checkpoint}", f"tf1:{tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()
