"""What a range holds, and what is said of settings that lie outside."""

import math

import pytest

from amber_jax.errors import UserError
from amber_jax.ranges import Choice, problems, real, refuse, whole

TABLE = {
    "steps": whole(0, 10),
    "rate": real(0, 1, without_low=True, without_high=True),
    "kind": Choice(("", "linear")),
    "label": str,
    "prompt": str | None,
    "untrained": bool,
    "seeds": [whole(0)],
    "model": {"layers": whole(1)},
    "stages": [{"rate": real(0, 1)}],
}
GOOD = {
    "steps": 10,
    "rate": 0.5,
    "kind": "",
    "label": "x",
    "prompt": None,
    "untrained": False,
    "seeds": (0, 1),
    "model": {"layers": 1, "not declared": None},
    "stages": [{"rate": 0}, {"rate": 1.0}],
}


def test_settings_in_their_ranges_have_no_problem():
    assert list(problems(GOOD, TABLE)) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        *[({"steps": value}, "steps") for value in (-1, 11, 1.0, True, None, "1")],
        *[({"rate": value}, "rate") for value in (0.0, 1.0, math.nan, math.inf)],
        *[({"steps": 10**n}, "steps") for n in (20, 400, 5000)],
        ({"kind": "cosine"}, "kind"),
        ({"kind": None}, "kind"),
        ({"label": None}, "label"),
        ({"prompt": 3}, "prompt"),
        ({"untrained": 1}, "untrained"),
        ({"seeds": 1}, "seeds"),
        ({"seeds": (0, -1)}, "seeds[1]"),
        ({"model": 3}, "model"),
        ({"model": {}}, "model.layers"),
        ({"model": {"layers": 0}}, "model.layers"),
        ({"stages": (GOOD, {"rate": -1})}, "stages[1].rate"),
        ({"stages": (None,)}, "stages[0]"),
    ],
)
def test_each_setting_outside_is_named(change, name):
    sentences = list(problems({**GOOD, **change}, TABLE))
    assert sentences[-1].startswith(f"{name} is ")


def test_a_refusal_tells_all_problems_and_nothing_is_refused_without_one():
    refuse("config", [])
    with pytest.raises(UserError, match="config: a is 1; b is 2"):
        refuse("config", iter(["a is 1", "b is 2"]))
