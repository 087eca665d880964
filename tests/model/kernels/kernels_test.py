from types import SimpleNamespace

import jax
import pytest

from amber_jax.model.kernels import FORMS, Kernels, suited_to


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({"platform": "cpu"}, ("written", "side_by_side", "apart", "turned")),
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
        ({"platform": "tpu"}, ("mosaic", "loop", "together", "straight")),
    ],
)
def test_every_machine_gets_what_suits_it(facts, wanted):
    assert suited_to(SimpleNamespace(**facts)) == Kernels(*wanted)


def test_what_is_wanted_overrides_what_suits_and_nothing_leaves_the_choice():
    wanted = {"attention": "", "layers": "loop", "heads": "together"}
    assert suited_to(jax.devices()[0], wanted) == Kernels(
        layers="loop", heads="together", tall_gradients="turned"
    )


def test_the_first_form_is_the_plain_one():
    assert Kernels() == Kernels(**{name: forms[0] for name, forms in FORMS.items()})


def test_a_log_names_every_form():
    assert str(Kernels()) == (
        "attention written, layers side_by_side, heads apart, tall_gradients straight"
    )
