"""When malloc is set, and that memory is used again at once and never piles up."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from amber_jax.training.allocator import peak_resident_bytes

ROOT = Path(__file__).parents[2]
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
BEGIN = """
import os
import resource
import sys
import numpy as np
from amber_jax.training.allocator import give_back_unused, start_with_huge_pages

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

start_with_huge_pages()
"""
SCRIPT = """
def faults(size):
    np.ones(size)  # the first time is free
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print("hugetlb" in os.environ.get("GLIBC_TUNABLES", ""), faults(2**21), faults(2**24))
"""
HOLES = """
taken = [np.ones(1_000_000) for _ in range(20)]
del taken[::2]  # what is left keeps the heap from shrinking
before = resident()
give_back_unused()
print(before - resident())

def flags(array):
    place = array.__array_interface__["data"][0]
    areas = open("/proc/self/smaps").read().split("VmFlags:")
    for area, after in zip(areas, areas[1:]):
        lines = [line.split() for line in area.splitlines()]
        spans = [line[0].split("-") for line in lines if line and "-" in line[0]]
        first, end = (int(number, 16) for number in spans[-1])
        if first <= place < end:
            return after.splitlines()[0].split()

print(*flags(taken[0]))
print(*flags(np.ones(2**24)))
"""
# Blocks of a step's size with others between, as of steps, evaluations, checkpoints.
STEPS = """
before, kept = resident(), []
for step in range(8):
    block = np.ones(2**24 + 2**19 * step)  # 128 MiB and more
    kept.append(np.ones(2**16))
    del block
    kept.append(np.ones(2**16))
print((resident() - before) / 2**27)
"""


@pytest.fixture
def run(tmp_path):
    """A function: what a program prints that begins as our commands do."""

    def run(script, *arguments, **environment):
        (tmp_path / "main.py").write_text(BEGIN + script)
        chosen = ("MALLOC_", "GLIBC_TUNABLES")
        given = {k: v for k, v in os.environ.items() if not k.startswith(chosen)}
        environment = {"JAX_PLATFORMS": "cpu", **environment}
        return subprocess.run(
            [sys.executable, "main.py", *arguments],
            cwd=tmp_path,
            env={**given, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    return run


def was_set(run, **environment):
    """Returns whether malloc was set, and the faults of 16 and 128 MiB used again."""
    made, *faults = run(SCRIPT, **environment).split()
    return made == "True", *map(int, faults)


def test_memory_does_not_pile_up_whatever_is_allocated_between_the_steps(run):
    assert float(run(STEPS)) < 0.3


def test_what_was_freed_can_be_given_back_for_good(run):
    given_back, heap, large = run(HOLES).splitlines()
    assert int(given_back) > 70e6  # of 80 MB
    assert "nh" in heap.split()  # or the kernel would fill the gaps with huge pages
    if "[madvise]" in HUGE_PAGES.read_text():
        assert "hg" in large.split()  # what a step takes still comes in them


def test_on_the_cpu_memory_that_was_freed_is_soon_used_again(run):
    made, small, large = was_set(run)
    assert made
    assert small < 20
    if "[never]" not in HUGE_PAGES.read_text():
        assert large < 2**15 / 16  # pages of 4 kB


@pytest.mark.parametrize("platforms", ["cuda", "tpu,cpu"])
def test_other_platforms_are_left_alone(run, platforms):
    made, _, large = was_set(run, JAX_PLATFORMS=platforms)
    assert not made
    assert large > 20  # given back and asked for again


def test_a_machine_whose_jax_has_no_plugin_is_one_of_the_cpu(run, tmp_path):
    assert was_set(run, JAX_PLATFORMS="")[0]
    (tmp_path / "jax_plugins").mkdir()
    assert not was_set(run, JAX_PLATFORMS="")[0]


@pytest.mark.parametrize(
    "chosen",
    [{"MALLOC_TOP_PAD_": "65536"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}],
)
def test_a_user_who_set_malloc_has_set_it(run, chosen):
    assert not was_set(run, **chosen)[0]


def test_the_program_is_started_again_as_it_was(run):
    printed = run(
        'print(sys.argv[1:], os.environ["GLIBC_TUNABLES"])',
        *("--name=a b", "-x"),
        GLIBC_TUNABLES="glibc.pthread.rseq=1",
    )
    assert printed.startswith("['--name=a b', '-x'] glibc.pthread.rseq=1:glibc.malloc.")


def test_the_peak_of_memory_counts_what_came_and_went_and_starts_anew():
    peak_resident_bytes()
    before = peak_resident_bytes()
    size = np.ones(2**24).nbytes
    assert peak_resident_bytes() - before == pytest.approx(size, rel=0.1)
    assert peak_resident_bytes() - before < size / 2
