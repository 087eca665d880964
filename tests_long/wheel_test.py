"""The wheel of a clean checkout in a fresh environment, far from both.

The README's commands are run as they stand there; packages come from the registry.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_checkpoint
import tiny_run

ROOT = Path(__file__).parents[1]


def tracked_files():
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    return os.fsdecode(done.stdout).split("\0")[:-1]


def readme_block(words):
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (block,) = (block for block in blocks if words in block)
    return block


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A function: a command line to what it did where only the wheel is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    venv, checkout = folder / "venv", folder / "checkout"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    for name in tracked_files():
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, path, follow_symlinks=False)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONHOME", "XLA_FLAGS", "VIRTUAL_ENV")
    } | {"PATH": f"{venv / 'bin'}:{os.environ['PATH']}", "NO_COLOR": "1"}

    def run(command, place=folder):
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
        )

    done = run(readme_block("pip wheel"), checkout)
    assert done.returncode == 0, done.stderr
    (wheel,) = (checkout / "dist").iterdir()
    wheel.rename(folder / wheel.name)
    shutil.rmtree(checkout)
    yield run
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A checkpoint of a random model whose vocabulary are numbers."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = tiny_run.save_tokenizer(folder / "tokenizer")
    return tiny_checkpoint.write(folder / "checkpoints" / "7", tokenizer)


def test_without_extras_a_model_is_used_and_tensorflow_is_missed_in_a_sentence(
    installed, model, tmp_path
):
    done = installed("python -c 'import tensorflow'")
    assert "No module named 'tensorflow'" in done.stderr

    done = installed(
        f"printf '1 2\\n3\\n' | amber embed --checkpoint={model} --input=- "
        f"--output={tmp_path / 'vectors.npy'}"
    )
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "vectors.npy").shape == (2, 16)

    done = installed(
        f"amber evaluate --config=sample_retrieval.py --checkpoint={model} "
        f"--config.retrievals[0].max_length=16 --config.retrievals[1].max_length=16 "
        f"--output={tmp_path / 'scores'}"
    )
    assert done.returncode == 0, done.stderr
    assert "heldout" in done.stdout

    corpus = tiny_run.write_corpus(tmp_path / "corpus", row_length=128, max_pairs=8)
    done = installed(
        f"amber pretrain --config=amber_tiny.py:sa --config.corpus={corpus} "
        f"--workdir={tmp_path / 'run'}"
    )
    assert done.returncode == 2, done.stderr
    assert "pip install 'amber_jax[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_ten_steps_of_pretraining_and_a_models_vectors(installed, tmp_path):
    done = installed('pip install "$(ls amber_jax-*.whl)[train,report]"')
    assert done.returncode == 0, done.stderr
    done = installed(readme_block("amber pretrain"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/tiny/checkpoints/10").is_dir()
    vectors = np.load(tmp_path / "vectors.npy")
    assert vectors.shape == (2, 128)
    assert np.isfinite(vectors).all()


def test_type_checkers_find_the_types(installed):
    done = installed(
        'python -c "from importlib.resources import files; '
        "print(files('amber_jax').joinpath('py.typed').is_file())\""
    )
    assert done.stdout == "True\n"
