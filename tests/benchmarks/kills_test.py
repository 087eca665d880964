"""How kills are drawn, and that a program is killed where it is meant to be."""

import collections
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import endurance, kills

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path

partial = Path(sys.argv[1] + ".partial")
partial.write_text("content")
partial.rename(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("pattern", "status", "left"),
    [
        (r"^open \S+/done\.partial w", -9, []),
        (r"^os\.rename \S+/done\.partial \S+/done ", -9, ["done.partial"]),
        ("^os.rename nothing", 0, ["done"]),
    ],
)
def test_a_program_is_killed_before_the_call_that_matches(
    tmp_path, pattern, status, left
):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "output").mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.killed", pattern),
            *(tmp_path / "program.py", tmp_path / "output" / "done"),
        ],
        cwd=ROOT,
    )
    assert done.returncode == status
    assert [path.name for path in (tmp_path / "output").iterdir()] == left


@pytest.mark.parametrize("count", [1, 5, 50, 100])
def test_a_plan_has_so_many_kills_and_every_point_its_share(count):
    drawn = kills.plan(count, seed=0)
    assert drawn == kills.plan(count, seed=0)
    assert len(drawn) == count
    counts = collections.Counter(drawn)
    assert counts["pretraining", kills.RANDOM] in (count // 5, count // 5 + 1)
    if count == 50:
        assert len(counts) == 14  # all of them


def test_another_seed_has_another_order():
    plan, other = (kills.plan(50, seed=seed) for seed in (0, 1))
    assert plan != other
    assert sorted(plan) == sorted(other)


@pytest.mark.parametrize(
    ("steps", "wrong"),
    [
        ([1, 2, 3, 4], []),
        ([1, 3, 4], [2]),
        ([1, 2, 2, 3], [2]),
        ([1, 3, 2, 4], [2]),
        ([], []),
    ],
)
def test_steps_that_are_missing_or_misplaced_are_named(steps, wrong):
    records = [{"kind": "train", "step": step} for step in steps]
    assert endurance.missing([*records, {"kind": "eval", "step": 5}]) == wrong


@pytest.mark.parametrize(
    ("sizes", "grows"),
    [
        ([1] * 10 + [2] * 10 + [3] * 20, 1.0),  # until all has happened twice
        ([1] * 20 + [3] * 9 + [4] * 10, 1.0),  # too few
        ([1] * 20 + [3] * 10 + [4] * 10, 4 / 3),
        ([1] * 20 + [4] * 10 + [3] * 10, 3 / 4),
        ([1] * 20 + [3, 9] * 5 + [9, 3, 9, 9, 9] * 2, 1.0),  # saves take some
        ([], 1.0),
    ],
)
def test_memory_grows_from_where_a_start_has_done_all_it_does(sizes, grows):
    records = [
        {"step": 100 + number, "peak_resident_bytes": size * 10**9}
        for number, size in enumerate(sizes, start=1)
    ]
    measured = endurance.measured(records, before=100, interval=10)
    assert measured["to step"] == 100 + len(sizes)
    assert measured["memory, GB grows"] == pytest.approx(grows)
    assert measured["descriptors grows"] == 1.0  # not known
