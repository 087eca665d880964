"""The command: trains, repeats itself byte for byte, never overwrites."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from amber_jax.tokenization import load_tokenizer

ROOT = Path(__file__).parents[2]
TATOEBA = ROOT / "data" / "sample" / "tatoeba"


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """A function that runs the command on 600 Tatoeba sentences."""
    folder = tmp_path_factory.mktemp("train")
    config = folder / "config.py"
    files = [
        (language[:2], str(TATOEBA / f"tatoeba.spa-eng.{language}"))
        for language in ("eng", "spa")
    ]
    config.write_text(
        "from configs import tokenizer\n"
        "def get_config():\n"
        "    config = tokenizer.get_config()\n"
        f"    config.files, config.many_way = {tuple(files)!r}, ()\n"
        "    config.vocab_size, config.sentences = 700, 500\n"
        "    return config\n",
        encoding="utf-8",
    )

    def run(*arguments):
        command = [sys.executable, "launch/train_tokenizer.py", f"--config={config}"]
        return subprocess.run(
            [*command, f"--output={folder / 'vocabulary'}", *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    run.output = folder / "vocabulary"
    return run


def test_the_command_trains_repeats_and_refuses_to_overwrite(train):
    first = train()
    assert first.returncode == 0, first.stderr
    tokenizer = load_tokenizer(train.output)
    assert tokenizer.vocab_size == 700
    assert f"fingerprint  {tokenizer.fingerprint}" in first.stdout
    counts = json.loads((train.output / "fertility.json").read_text("utf-8"))
    assert sorted(counts) == ["en", "sp"]
    assert f"{counts['en']['tokens'] / counts['en']['words']:.2f} tokens a word" in (
        next(line for line in first.stdout.splitlines() if line.startswith("en"))
    )
    before = {path.name: path.read_bytes() for path in train.output.iterdir()}

    assert train().stdout == first.stdout
    assert before == {path.name: path.read_bytes() for path in train.output.iterdir()}

    other = train("--config.vocab_size=690")
    assert other.returncode == 2 and "holds another tokenizer" in other.stderr
    assert len(other.stderr.splitlines()) == 1
    assert before == {path.name: path.read_bytes() for path in train.output.iterdir()}


def test_the_default_config_names_files_that_exist():
    from configs import tokenizer

    config = tokenizer.get_config()
    paths = [*(path for _, path in config.files), *config.many_way]
    assert len(paths) == 10 and all(Path(path).is_file() for path in paths)
