from types import SimpleNamespace

import jax
import numpy as np
import pytest
import tiny_checkpoint
import tiny_run

import amber_jax
from amber_jax import config as settings
from amber_jax.errors import UserError
from amber_jax.inference.devices import suited_to
from amber_jax.model.kernels import FORMS, Kernels


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        (
            {"platform": "cpu"},
            ("written", "side_by_side", "apart", "turned", "wide", "striped"),
        ),
        (
            {"platform": "gpu", "compute_capability": "9.0"},
            ("triton", "side_by_side", "together", "straight"),
        ),
        (
            {"platform": "gpu", "compute_capability": "7.5"},
            ("written", "side_by_side", "together", "straight"),
        ),
        ({"platform": "gpu"}, ("written", "side_by_side", "together", "straight")),
        (
            {"platform": "gpu", "compute_capability": "gfx90a"},
            ("written", "side_by_side", "together", "straight"),
        ),
        (
            {"platform": "tpu"},
            ("mosaic", "side_by_side", "together", "straight"),
        ),
    ],
)
def test_every_machine_gets_what_suits_it(facts, wanted):
    assert suited_to(SimpleNamespace(**facts)) == Kernels(*wanted)


def test_what_is_wanted_overrides_what_suits_and_nothing_leaves_the_choice():
    wanted = {"attention": "", "layers": "loop", "heads": "together"}
    assert suited_to(jax.devices()[0], wanted) == Kernels(
        layers="loop",
        heads="together",
        tall_gradients="turned",
        products="wide",
        scores="striped",
    )


def test_a_form_that_there_is_not_is_refused_with_those_there_are():
    for wanted in ({"layers": "twice"}, {"layer": "loop"}):
        with pytest.raises(UserError, match="layers: side_by_side, loop"):
            suited_to(jax.devices()[0], wanted)


@pytest.mark.parametrize(
    "config",
    [
        settings.pretraining(),
        settings.finetuning("xnli"),
        settings.evaluation(),
        settings.word_alignment_evaluation(),
    ],
)
def test_whatever_runs_an_encoder_may_choose_its_forms_and_leaves_them_open(config):
    assert config.kernels.to_dict() == dict.fromkeys(FORMS, "")


def test_a_model_is_loaded_with_the_forms_that_are_wanted(tmp_path):
    tokenizer = tiny_run.save_tokenizer(tmp_path / "words")
    checkpoint = tiny_checkpoint.write(tmp_path / "7", tokenizer)
    suited = amber_jax.load(checkpoint)
    looped = amber_jax.load(checkpoint, kernels={"layers": "loop"})
    assert looped.config.kernels.layers == "loop"
    assert suited.config.kernels == suited_to(jax.devices()[0])
    np.testing.assert_allclose(
        looped.encode(["1 2 3"]), suited.encode(["1 2 3"]), rtol=1e-5, atol=1e-6
    )


def test_the_first_form_is_the_plain_one():
    assert Kernels() == Kernels(**{name: forms[0] for name, forms in FORMS.items()})


def test_a_log_names_every_form():
    assert str(Kernels()) == (
        "attention written, layers side_by_side, heads apart, "
        "tall_gradients straight, products narrow, scores whole, gelu erfc"
    )
