"""What a command that is interrupted again and again has to end with, bit for bit."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from amber_jax.errors import UserError
from amber_jax.training.checkpoint import find_checkpoint
from amber_jax.training.events import STANDSTILL, STRAGGLER
from amber_jax.training.metrics import METRICS_FILE, read_metrics

ROOT = Path(__file__).resolve().parents[1]
MEASURED = frozenset(
    {
        *("tokens_per_second", "data_wait_share", "host_share", "device_share"),
        *("model_flops_per_second", "peak_resident_bytes", "open_descriptors"),
    }
)
"""What of a record is another one each time."""
_TINY = (
    *("--config=configs/amber_tiny.py:sa", "--config.model.num_layers=1"),
    *("--config.model.hidden_size=16", "--config.model.intermediate_size=32"),
    *("--config.model.num_heads=2", "--config.model.hidden_dropout=0.1"),
    *("--config.stages[0].num_steps=12", "--config.stages[0].warmup_steps=2"),
    *("--config.stages[0].monolingual_pairs=8", "--config.backend=jit"),
    *("--config.stages[0].translation_pairs=8", "--config.num_devices=1"),
    *("--config.log_every=1", "--config.save_every=2", "--config.evaluate_every=3"),
    *("--config.keep_checkpoints=2", "--config.tensorboard=False"),
)
Digests = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Work:
    """A command that makes an output, and what of that is the same each time."""

    name: str
    command: Callable[[Path], list[str]]
    digests: Callable[[Path], Digests]
    is_done: Callable[[Path], bool]

    def run(self, output: Path, *, until: str = "") -> subprocess.Popen:
        """Starts it; it kills itself where a pattern of `benchmarks.killed` matches."""
        program = self.command(output)
        if until:
            program = ["-m", "benchmarks.killed", until, *program]
        return subprocess.Popen(
            [sys.executable, *program],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def finish(self, output: Path) -> None:
        """Runs it to its end."""
        if self.is_done(output):
            return
        process = self.run(output)
        _, errors = process.communicate()
        if process.returncode:
            raise UserError(f"{self.name} failed: {errors.decode(errors='replace')}")


def saved_arrays(workdir: Path) -> dict[str, bytes]:
    """Returns every array of the last checkpoint, by name."""
    import orbax.checkpoint as ocp

    checkpoint = find_checkpoint(workdir, note=lambda _: None)
    arrays = {}
    for part in ("params", "training"):
        with ocp.StandardCheckpointer() as reader:
            tree = reader.restore(checkpoint.path.resolve() / part)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            arrays[part + jax.tree_util.keystr(path)] = np.asarray(leaf).tobytes()
    return arrays


def lasting_records(workdir: Path) -> list[str]:
    """Returns metrics.jsonl without what is measured, as text: NaN equals itself."""
    return [
        json.dumps({k: v for k, v in record.items() if k not in MEASURED})
        for record in read_metrics(workdir / METRICS_FILE)
        if record.get("event") not in (STANDSTILL, STRAGGLER)
    ]


def output_of(work: str) -> str:
    """Returns the name of a work's output."""
    return work.removesuffix(" build")


def works(folder: Path) -> dict[str, Work]:
    """Returns what is killed, by name.

    Args:
        folder: with `tokenizer`, and what was never killed.
    """
    corpus = ["launch/build_corpus.py", "--config=configs/corpus_sample.py"]
    corpus += [f"--config.tokenizer={folder / 'tokenizer'}", "--config.processes=2"]
    run = ["launch/pretrain.py", *_TINY, f"--config.corpus={folder / 'corpus'}"]
    listed = (
        Work(
            "corpus build",
            lambda output: [*corpus, f"--output={output}", "--config.unit_bytes=65536"],
            _files,
            Path.is_dir,
        ),
        Work(
            "pretraining",
            lambda output: [*run, f"--workdir={output}"],
            _end_of_run,
            lambda output: False,
        ),
        Work(
            "export",
            lambda output: [
                *("launch/convert.py", f"--from=amber:{folder / 'pretraining'}"),
                f"--to=sentence-transformers:{output}",
            ],
            _files,
            Path.is_dir,
        ),
    )
    return {work.name: work for work in listed}


def _files(output: Path) -> Digests:
    """The sums of all files but a corpus' card, a view of it that is made after it."""
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file() and not path.name.startswith("card")
    }


def _end_of_run(workdir: Path) -> Digests:
    log = "\n".join(lasting_records(workdir)).encode()
    contents = {**saved_arrays(workdir), "log": log}
    return {name: hashlib.sha256(x).hexdigest() for name, x in contents.items()}


def sample_corpus(folder: Path) -> Path:
    """Returns a corpus of the sample text, made in `folder` if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tokenizer").exists():
        subprocess.run(
            [
                *(sys.executable, "launch/train_tokenizer.py"),
                *("--config=configs/tokenizer.py", "--config.vocab_size=3000"),
                *("--config.sentences=5000", f"--output={folder / 'tokenizer'}"),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
            stdout=subprocess.DEVNULL,
        )
    build = works(folder)["corpus build"]
    build.finish(folder / output_of(build.name))
    return folder / output_of(build.name)
