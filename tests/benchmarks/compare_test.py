"""Comparisons: turns, the table, what programs inherit, and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import rounds, tuned

ROOT = Path(__file__).parents[2]
RESULT = {
    "tokens_per_s": 1000.0,
    "tokens_per_cpu_s": 500.0,
    "step_ms": 10.0,
    "cpu_ms": 20.0,
    "tokens_per_step": 64,
    "real_share": 0.5,
    "gflops": 3.0,
    "peak_rss_mb": 70.0,
    "first_step_s": 1.5,
    "losses": [7.0, 6.5],
    "others_share": 0.25,
    "settings": {},
}
SHOW_ENVIRONMENT = (
    "import json, os; names = ('LD_PRELOAD', 'MALLOC_ARENA_MAX', 'KEPT', 'ADDED'); "
    f"print(json.dumps({RESULT!r} | dict((n, os.environ.get(n)) for n in names)))"
)


def fake(name, result, *, before="pass"):
    """A program that says something and then its result."""
    script = f"{before}; print('chat'); print({json.dumps(result)!r})"
    return rounds.Program(name, (sys.executable, "-c", script))


def run(programs, number, log=None):
    return rounds.run(programs, number, environment=os.environ, log=log)


def cells(table):
    """The table's cells: name of the program -> heading -> cell."""
    lines = [line.strip("|").split("|") for line in table.splitlines()]
    headings, _, *rows = [[cell.strip() for cell in line] for line in lines]
    return {row[0]: dict(zip(headings, row, strict=True)) for row in rows}


def test_two_programs_make_a_table(tmp_path):
    slow = RESULT | {"tokens_per_s": 250.0, "tokens_per_cpu_s": 50.0}
    path = tmp_path / "results.jsonl"
    with path.open("w") as log:
        results = run([fake("ours", RESULT), fake("theirs", slow)], 2, log)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["name"], line["round"]) for line in lines] == [
        *(("ours", 1), ("theirs", 1), ("ours", 2), ("theirs", 2))
    ]
    table = cells(rounds.table(results, "ours"))
    assert table["theirs"]["real tokens/s"] == "250"
    assert table["theirs"]["ours is x"] == "4.00"
    assert table["theirs"]["ours is x by CPU"] == "10.00"
    assert table["ours"]["ours is x"] == "1.00"
    assert table["ours"]["of positions"] == "50.0%"
    assert table["ours"]["loss"] == "7.000 to 6.500"
    assert "MFU" not in table["ours"]  # nobody measured it


def test_the_table_has_medians_over_the_rounds():
    every = [RESULT | {"tokens_per_s": rate} for rate in (1.0, 90.0, 100.0)]
    every[2] = every[2] | {"first_step_s": 0.5}
    row = cells(rounds.table({"ours": every}, "ours"))["ours"]
    assert row["real tokens/s"] == "90"
    assert row["first step s, first and last round"] == "1.5, 0.5"


def test_what_only_one_program_measured_is_a_dash_for_the_others():
    results = {"ours": [RESULT | {"mfu": 0.5}], "theirs": [RESULT], "broken": []}
    table = cells(rounds.table(results, "ours"))
    assert [table[name]["MFU"] for name in results] == ["50.0%", "-", "-"]
    assert set(table["broken"].values()) == {"broken", "-"}


def test_a_program_that_fails_is_told_and_the_others_go_on(capsys):
    broken = fake("broken", RESULT, before="raise SystemExit('out of memory')")
    results = run([broken, fake("ours", RESULT)], 1)
    assert results["broken"] == [] and len(results["ours"]) == 1
    said = capsys.readouterr().err
    assert "broken gave no result: exit status 1, out of memory" in said


def test_programs_start_without_what_others_have_tuned(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    monkeypatch.setenv("KEPT", "yes")
    command = (sys.executable, "-c", SHOW_ENVIRONMENT)
    results = run(
        [rounds.Program("a", command), rounds.Program("b", command, {"ADDED": "1"})], 1
    )
    first, second = results["a"][0], results["b"][0]
    assert (first["MALLOC_ARENA_MAX"], first["KEPT"]) == (None, "yes")
    assert (first["ADDED"], second["ADDED"]) == (None, "1")


def test_tuned_programs_are_told_that_the_chip_is_intels(tmp_path):
    settings = tuned.mkl_settings(tmp_path, None)
    assert settings["MALLOC_MMAP_MAX_"] == "0"
    ask = "import ctypes; print(ctypes.CDLL(None).mkl_serv_intel_cpu_true())"
    done = subprocess.run(
        [sys.executable, "-c", ask],
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1\n", done.stderr


def test_an_allocator_is_preloaded_behind_it(tmp_path):
    allocator = tmp_path / "libtcmalloc_minimal.so.4"
    settings = tuned.mkl_settings(tmp_path, allocator)
    assert settings == {"LD_PRELOAD": f"{tmp_path / 'intel.so'}:{allocator}"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--peer_python is not set"),
        ([f"--peer_python={sys.executable}", "--google_bert=/"], "no run_pretraining"),
        (["--core=9999"], "choose one of them"),
        (["--allocator=/nowhere.so"], "--allocator is '/nowhere.so', not a file"),
        (["--json=/nowhere/file"], "cannot be written"),
    ],
)
def test_mistakes_cost_one_sentence(flags, message):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.compare", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
