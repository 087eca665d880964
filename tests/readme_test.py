"""The commands that README.md and docs/ show are run as they stand there."""

import json
import multiprocessing
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import parsed_flags
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]


def shell_blocks(page):
    return re.findall(r"```bash\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def python_commands():
    return [
        (page.name, command)
        for page in PAGES
        for block in shell_blocks(page)
        for command in block.replace("\\\n", " ").splitlines()
        if "python launch/" in command
    ]


def run_in(folder, command):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": "",
        "NO_COLOR": "1",
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def walkthrough(tmp_path_factory):
    """The folder in which the README's steps were taken, and what they printed."""
    folder = tmp_path_factory.mktemp("walkthrough")
    for name in ("launch", "configs", "data"):
        (folder / name).symlink_to(ROOT / name)
    (steps,) = (
        block
        for block in shell_blocks(PAGES[0])
        if "launch/train_tokenizer.py" in block
    )
    done = run_in(folder, steps)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_steps_of_the_readme_lead_to_a_report(walkthrough):
    folder, printed = walkthrough
    assert (folder / "runs/tiny/report/report.md").is_file()
    (result,) = json.loads((folder / "runs/tiny/tatoeba/results.json").read_text())[
        "results"
    ]
    assert set(result["scores"]) == {"ar", "es", "fr", "hi", "pt", "ru", "zh"}
    assert result["step"] == 20
    assert (result["layer"], result["pooling"]) == (2, "mean")
    assert "parameters 1,462,208" in printed


def test_the_dry_run_says_everything_and_writes_nothing(walkthrough):
    _, printed = walkthrough
    for words in (
        "bytes (parameters and optimizer)",
        "pair rows of 128",
        "real tokens",
    ):
        assert words in printed


def test_training_logs_every_loss_and_what_word_alignment_does(walkthrough):
    folder, _ = walkthrough
    lines = (folder / "runs/tiny/metrics.jsonl").read_text("utf-8").splitlines()
    last = [json.loads(line) for line in lines if '"train"' in line][-1]
    wanted = {
        *("masked_lm", "mlm", "tlm", "sentence_alignment", "word_alignment"),
        *("word_alignment_column_share", "word_alignment_diagonal_share"),
        *("grad_norm", "learning_rate", "tokens_per_second", "data_wait_share"),
    }
    assert wanted <= last.keys()


def other_commands():
    return [
        pytest.param(command, id=f"{page}-{number}")
        for number, (page, command) in enumerate(python_commands())
        if "DIR" in command and "--dry_run" in command
    ]


@pytest.mark.parametrize("command", other_commands())
def test_dry_runs_in_the_docs_work(walkthrough, command):
    folder, _ = walkthrough
    command = command.replace("--workdir=DIR", "--workdir=unwritten")
    done = run_in(folder, command.replace("DIR", "runs/corpus"))
    assert done.returncode == 0, done.stderr
    assert "the train step lowers" in done.stdout
    assert not (folder / "unwritten").exists()


def test_every_documented_command_names_files_that_exist():
    commands = python_commands()
    assert len(commands) >= 8
    for _, command in commands:
        for word in shlex.split(command):
            path = word.removeprefix("--config=").split(":")[0]
            if path.startswith(("launch/", "configs/")):
                assert (ROOT / path).is_file(), command


def test_relative_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def paths_of_the_tree(page):
    """What a page's text names in backticks as a file or folder of the tree."""
    text = re.sub("```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    rooms = {path.name for path in (*ROOT.iterdir(), *ROOT.glob("amber_jax/*"))}
    for name in re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?)(?::\w+)?`", text):
        in_a_room = "/" in name and name.split("/")[0] in rooms
        is_placeholder = any(part.isupper() for part in re.split("[/.]", name))
        if (in_a_room or name.endswith((".py", ".sh"))) and not is_placeholder:
            yield name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    folders = (ROOT, ROOT / "amber_jax", ROOT / "configs")  # --config takes a name
    for name in paths_of_the_tree(page):
        paths = [folder / f"{name}{end}" for folder in folders for end in ("", ".py")]
        assert any(path.exists() for path in paths), name


def benchmark_commands():
    return sorted(
        {
            re.sub(r"^.*?(?=python -m)", "", line)
            for page in PAGES
            for block in shell_blocks(page)
            for line in block.replace("\\\n", " ").splitlines()
            if "python -m benchmarks." in line
        }
    )


@pytest.fixture(scope="module")
def parsed():
    """A function: the exit status of a command whose flags are parsed, no more.

    Its processes come from a server that has imported what takes long.
    """
    context = multiprocessing.get_context("forkserver")
    if sys.platform == "linux":  # elsewhere what was imported may not survive it
        context.set_forkserver_preload(["amber_jax.inference.model"])

    def parsed(command):
        process = context.Process(
            target=parsed_flags.parse, args=parsed_flags.arguments_of(command)
        )
        process.start()
        try:
            process.join(600)
            return process.exitcode
        finally:
            process.kill()
            process.join()

    return parsed


@pytest.mark.parametrize("command", benchmark_commands())
def test_every_benchmark_that_is_shown_knows_its_flags(command, parsed):
    assert parsed(command) == parsed_flags.UNDERSTOOD


@pytest.mark.parametrize(
    "command",
    [
        "python -m benchmarks.kills --folde=kills",
        "python -m benchmarks.kills",  # wants --folder
        "python -m benchmarks.schedule --rounds=x",
        "python -m benchmarks.finetuning_step --checkpoint=DIR --config.datum=DIR",
    ],
)
def test_wrong_flags_of_a_benchmark_are_refused(command, parsed):
    assert parsed(command) == 2
