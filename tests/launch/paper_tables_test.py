"""The paper's tables, by a `python` that only notes what it was called with."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

ROOT = Path(__file__).parents[2]
TRAINED = ("tlm", "wa", "matches", "sa", "sa_matches")
ROWS = ("start", *TRAINED)
FIFTEEN = "ar bg de el en es fr hi ru sw th tr ur vi zh"
JUDGES = ("tatoeba", "alignment", "udpos", "pawsx", "xnli")

# Notes its arguments; leaves the file that the last thing of each command is.
FAKE = """\
import json, pathlib, sys
arguments = sys.argv[1:]
with pathlib.Path("calls").open("a") as file:
    file.write(json.dumps(arguments) + "\\n")
flags = dict(word.partition("=")[::2] for word in arguments[1:])
out = pathlib.Path(flags.get("--output") or flags["--workdir"])
out.mkdir(parents=True, exist_ok=True)
if not arguments[0].endswith(("pretrain.py", "build_corpus.py")):
    (out / "results.json").write_text("{}")
"""


@pytest.fixture
def tables(tmp_path):
    """A function: the script's outcome, and the calls that it made."""
    for folder in ("launch", "bin", "encoder", "other"):
        (tmp_path / folder).mkdir()
    texts = [f"mono/wikipedia/{code}.txt" for code in FIFTEEN.split()]
    for name in (*texts, "parallel/en-fr.tsv", "tatoeba/tatoeba.fra-eng.fra"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", "utf-8")
    shutil.copy(ROOT / "launch/paper_tables.sh", tmp_path / "launch")
    python = tmp_path / "bin/python"
    python.write_text(f"#!{sys.executable}\n{FAKE}", "utf-8")
    python.chmod(0o755)
    (tmp_path / "launch/environment.sh").write_text("", "utf-8")

    def tables(*arguments, **environment):
        calls = tmp_path / "calls"
        calls.write_text("", "utf-8")
        done = subprocess.run(
            [tmp_path / "launch/paper_tables.sh", *arguments],
            cwd=tmp_path,
            env={
                **os.environ,
                "PATH": f"{python.parent}:{os.environ['PATH']}",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done, [json.loads(line) for line in calls.read_text().splitlines()]

    return tables


@pytest.fixture
def config_of(monkeypatch):
    """A function: the config of a call with its overrides; unknown keys fail."""

    def config_of(call):
        words = [call[0], *(word for word in call if word.startswith("--config"))]
        monkeypatch.setattr(sys, "argv", words)  # where overrides are looked for
        values = flags.FlagValues()
        holder = config_flags.DEFINE_config_file("config", flag_values=values)
        values(words)
        return holder.value

    monkeypatch.chdir(ROOT)
    return config_of


def programs(calls):
    return [Path(call[0]).stem for call in calls]


def test_every_row_is_trained_and_judged_by_configs_that_exist(tables, config_of):
    done, calls = tables("encoder", "data", PROMPT="query: ")
    assert done.returncode == 0, done.stderr
    judged = ["evaluate", "evaluate", "finetune", "finetune", "finetune"]
    row = ["pretrain", *judged]
    made = ["build_corpus", *judged, *row * len(TRAINED), "report"]
    assert programs(calls) == made
    (report,) = [call for call in calls if call[0].endswith("report.py")]
    results = [Path(word).parts[-3:-1] for word in report if "results=" in word]
    assert results == [(row, judge) for row in ROWS for judge in sorted(JUDGES)]

    configs = [(call[0], config_of(call)) for call in calls if call is not report]
    prompts = {config.prompt for _, config in configs if "prompt" in config}
    assert prompts == {"query: "}
    trained = [config for program, config in configs if "pretrain" in program]
    assert [config.word_alignment.form for config in trained] == [
        *("attention", "attention", "similarity", "attention", "similarity")
    ]
    assert {config.stages[0].num_steps for config in trained} == {240}


def test_what_is_finished_is_not_done_again(tables):
    tables("encoder", "data")
    done, calls = tables("encoder", "data")
    assert done.returncode == 0, done.stderr
    # These see for themselves that nothing is left to do.
    trained = ["pretrain"] * len(TRAINED)
    assert programs(calls) == ["build_corpus", *trained, "report"]


@pytest.mark.parametrize(
    ("arguments", "prompt", "named"),
    [
        (("other", "data"), "", "start/tatoeba"),
        (("encoder", "data"), "query: ", "start/alignment"),
    ],
)
def test_rows_of_other_settings_are_not_mixed(tables, arguments, prompt, named):
    tables("encoder", "data")
    done, calls = tables(*arguments, PROMPT=prompt)
    assert done.returncode == 2
    assert f"tables/{named} " in done.stderr
    assert programs(calls) == ["build_corpus"]


def test_results_without_their_command_are_refused(tables, tmp_path):
    (tmp_path / "tables/start/tatoeba").mkdir(parents=True)
    done, calls = tables("encoder", "data")
    assert done.returncode == 2
    assert "tables/start/tatoeba " in done.stderr
    assert programs(calls) == ["build_corpus"]
