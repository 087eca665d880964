"""When freed memory is kept, and that it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = """
import resource
import numpy as np
from amber_jax.allocator import keep_freed_memory

kept = keep_freed_memory()

def use():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(8_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

use()
print(kept, use())
"""


HOLES = """
import pathlib
import numpy as np
from amber_jax.allocator import give_back_unused, keep_freed_memory

keep_freed_memory()

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

taken = [np.ones(1_000_000) for _ in range(20)]
del taken[::2]  # what is left keeps the heap from shrinking
before = resident()
give_back_unused()
print(before - resident())
"""


def run(script, **environment):
    given = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    environment = {"JAX_PLATFORMS": "cpu", **environment}
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**given, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_what_was_freed_can_be_given_back():
    assert int(run(HOLES)) > 70e6  # of 80 MB


def kept(**environment):
    """Returns whether memory is kept, and the page faults of using it again."""
    made, faults = run(SCRIPT, **environment).split()
    return made == "True", int(faults)


def test_on_the_cpu_memory_that_was_freed_is_used_again_as_it_is():
    made, faults = kept()
    assert made
    assert faults < 20


@pytest.mark.parametrize("platforms", ["cuda", "tpu,cpu"])
def test_other_platforms_are_left_alone(platforms):
    made, faults = kept(JAX_PLATFORMS=platforms)
    assert not made
    assert faults > 20  # 64 MB are given back and asked for again


def test_a_machine_whose_jax_has_no_plugin_is_one_of_the_cpu(tmp_path):
    assert kept(JAX_PLATFORMS="")[0]
    (tmp_path / "jax_plugins").mkdir()
    assert not kept(JAX_PLATFORMS="", PYTHONPATH=f"{ROOT}:{tmp_path}")[0]


def test_a_user_who_set_malloc_has_set_it():
    made, faults = kept(MALLOC_TOP_PAD_="65536")
    assert not made
    assert faults > 20
