"""The table: all parameters, both ways, bit for bit; what does not fit is named."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import traverse_util
from hypothesis import given, settings
from hypothesis import strategies as st

from amber_jax.convert import names
from amber_jax.errors import UserError
from amber_jax.inference.loading import init_params
from amber_jax.model.encoder import EncoderConfig
from amber_jax.training.keys import init_key


def config_of(layers=2, words=7, width=4, wide=6, positions=5, segments=2):
    return EncoderConfig(
        vocab_size=words,
        num_layers=layers,
        hidden_size=width,
        num_heads=1,
        intermediate_size=wide,
        max_positions=positions,
        num_segments=segments,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        initializer_range=0.1,
        dtype="float32",
        remat=False,
    )


def random_tensors(config, dialect, parts=None):
    random = np.random.default_rng(0)
    shapes = names.expected_shapes(config, dialect, parts or names.known_parts())
    return {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def flat(tree):
    return traverse_util.flatten_dict(tree, sep="/")


def test_the_table_holds_every_parameter_of_the_model_in_its_shape():
    config = config_of()
    tensors = random_tensors(config, "hf", {"encoder", "mlm_head"})
    params = flat(names.to_params(tensors, config, "hf", origin="here"))
    wanted = flat(jax.eval_shape(lambda: init_params(config, init_key(0))))
    assert params.keys() == wanted.keys()
    assert {n: p.shape for n, p in params.items()} == {
        n: w.shape for n, w in wanted.items()
    }


def test_no_name_stands_for_two_parameters():
    for field in ("ours", "hf", "tf1"):
        column = [getattr(name, field) for name in names.TABLE]
        assert len(set(column)) == len(column)


sizes = st.integers(1, 4)


@settings(max_examples=30)
@given(
    dialect=st.sampled_from(["hf", "roberta", "tf1"]),
    parts=st.sets(st.sampled_from(["mlm_head", "pooler", "next_sentence"])),
    layers=sizes,
    width=sizes,
    wide=sizes,
    words=sizes,
)
def test_there_and_back_is_bit_equal(dialect, parts, layers, width, wide, words):
    config = config_of(layers=layers, width=width, wide=wide, words=words)
    tensors = random_tensors(config, dialect, {"encoder", *parts})
    params = names.to_params(tensors, config, dialect, origin="here")
    assert params.keys() == {"encoder", *parts}
    back = names.from_params(params, config, dialect)
    assert back.keys() == tensors.keys()
    assert all(np.array_equal(back[name], tensors[name]) for name in tensors)


def test_layers_and_kernels_go_where_they_belong():
    config = config_of()
    tensors = random_tensors(config, "hf")
    params = flat(names.to_params(tensors, config, "hf", origin="here"))
    kernel = params["encoder/layers/layer/attention/query/kernel"][1]
    weight = tensors["bert.encoder.layer.1.attention.self.query.weight"]
    assert np.array_equal(kernel, weight.T)
    tensors = random_tensors(config, "tf1")
    params = flat(names.to_params(tensors, config, "tf1", origin="here"))
    kernel = params["encoder/layers/layer/output/kernel"][0]
    assert np.array_equal(kernel, tensors["bert/encoder/layer_0/output/dense/kernel"])


@pytest.mark.parametrize("dialect", ["hf", "roberta", "tf1"])
def test_everything_that_does_not_fit_is_named(dialect):
    config = config_of()
    tensors = random_tensors(config, dialect)
    missing, wrong, *_ = tensors
    del tensors[missing]
    tensors[wrong] = np.zeros((3, 3), np.float32)
    tensors["classifier.weight"] = np.zeros(2, np.float32)
    with pytest.raises(UserError) as raised:
        names.to_params(tensors, config, dialect, origin="folder")
    text = str(raised.value)
    assert f"1 missing: {missing}" in text
    assert "1 unexpected: classifier.weight" in text
    assert f"{wrong} [3, 3] instead of [5, 4]" in text
    assert text.startswith("folder:") and "nothing was written" in text


def test_a_part_must_be_whole():
    config = config_of()
    tensors = random_tensors(config, "hf")
    del tensors["cls.predictions.bias"]
    with pytest.raises(UserError, match=r"1 missing: cls\.predictions\.bias"):
        names.to_params(tensors, config, "hf", origin="here")


def test_long_lists_are_cut():
    config = config_of()
    with pytest.raises(UserError, match="37 missing: .* and 29 more; 2 unex"):
        names.to_params(
            {"a": np.zeros(1), "b": np.zeros(1)}, config, "hf", origin="here"
        )


def test_an_absurd_number_of_layers_is_refused_at_once():
    config = dataclasses.replace(config_of(), num_layers=10**12)
    tensors = random_tensors(config_of(), "hf")
    with pytest.raises(UserError, match="too few for the 1000000000000 layers"):
        names.to_params(tensors, config, "hf", origin="here")


def test_only_what_the_table_lists_is_left_behind():
    left = names.left_behind(
        ["bert.embeddings.position_ids", "bert.embeddings.position_ids2", "x"], "hf"
    )
    assert left == {"bert.embeddings.position_ids": "counting buffer"}
    kernel = "bert/pooler/dense/kernel"
    dropped = {
        *("global_step", "beta1_power", "optimizer/beta2_power_1"),
        *(f"{kernel}/{slot}" for slot in ("adam_m", "Adam_1", "BERTAdam", "vr")),
    }
    left = names.left_behind([*dropped, kernel, "bert/adam_mean", "beta"], "tf1")
    assert set(left) == dropped
    assert set(left.values()) == {"optimizer memory", "step counter"}
