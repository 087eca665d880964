"""kill -9, again and again, at random moments and at the worst ones; what was lost.

python -m benchmarks.kills --folder=DIR [--kills=50] [--seed=0]

A tiny pretraining, a corpus build and an export are killed, started again as they are,
killed again, and at last compared, bit for bit, with what was never killed. What is
done stands in DIR/kills.jsonl: started again, this program goes on behind it.
"""

import collections
import dataclasses
import hashlib
import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from amber_jax.commands import command_line
from amber_jax.errors import UserError
from amber_jax.training.checkpoint import CHECKPOINTS, find_checkpoint
from amber_jax.training.events import STANDSTILL, STRAGGLER
from amber_jax.training.metrics import METRICS_FILE, read_metrics
from benchmarks import tables

_FOLDER = flags.DEFINE_string("folder", None, "for everything; goes on if it is there")
_KILLS = flags.DEFINE_integer("kills", 50, "how many", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "of the moments, and of their order")
flags.mark_flags_as_required(["folder"])

ROOT = Path(__file__).resolve().parents[1]
MEASURED = frozenset(
    {
        *("tokens_per_second", "data_wait_share", "host_share", "device_share"),
        *("model_flops_per_second", "peak_resident_bytes", "open_descriptors"),
    }
)
"""What of a record is another one each time."""
_IN_A_ROW = 4  # kills of one output, before it is finished and compared
_IN_VAIN = 5  # outputs that were done before their point came
_SETTLE_SECONDS = 0.3  # until the workers of a killed build have noticed
RANDOM = "at a random moment"
EVALUATION = "in an evaluation"
_ORBAX = r"\.orbax-checkpoint-tmp"
_FINISHED = r"/checkpoints/\d+"
# Where each is killed: a regular expression of `benchmarks.killed`, or none; how often
# of a hundred.
_POINTS: Mapping[str, Mapping[str, tuple[str, int]]] = {
    "pretraining": {
        RANDOM: ("", 20),
        EVALUATION: ("", 8),
        "while Orbax writes": (rf"^open \S+{_ORBAX}/\S*_METADATA w", 6),
        "in Orbax's rename": (rf"^os\.rename \S+{_ORBAX} \S+\.partial ", 6),
        "data on disk, no manifest": (r"^open \S+/checkpoints/\S+MANIFEST\S+ w", 8),
        "manifest on disk, no rename": (
            rf"^os\.rename \S+{_FINISHED}\.partial \S+{_FINISHED} ",
            8,
        ),
        "while a checkpoint is removed": (rf"^shutil\.rmtree \S+{_FINISHED}\.pa", 6),
        "while its log is cut": (r"^os\.rename \S+/metrics\.jsonl\.partial", 6),
    },
    "corpus build": {
        RANDOM: ("", 8),
        "before the manifest": (r"^open \S+/manifest\.json\.partial w", 4),
        "in the rename": (r"^os\.rename \S+/corpus \S+ ", 4),
    },
    "export": {
        RANDOM: ("", 8),
        "in the middle of its files": (r"^open \S+/modules\.json\.partial w", 4),
        "in the rename": (r"^os\.rename \S+/whole \S+ ", 4),
    },
}
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

    def run(self, output: Path, *, point: str = "") -> subprocess.Popen:
        """Starts it; at the pattern of a point it kills itself."""
        program = self.command(output)
        if pattern := _POINTS[self.name][point][0] if point else "":
            program = ["-m", "benchmarks.killed", pattern, *program]
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

    found = find_checkpoint(workdir, note=lambda _: None)
    arrays = {}
    for part in ("params", "training"):
        with ocp.StandardCheckpointer() as reader:
            tree = reader.restore(found.path.resolve() / part)
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


def _output(work: str) -> str:
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
    return {one.name: one for one in listed}


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


def plan(kills: int, seed: int) -> list[tuple[str, str]]:
    """Returns the (work, point) of every kill, each as often as its share says."""
    drawn = random.Random(seed)
    shares = {
        (work, point): share
        for work, points in _POINTS.items()
        for point, (_, share) in points.items()
    }
    total = sum(shares.values())
    # As Hamilton divides seats: whole ones first, then by what is left over.
    counts = {pair: kills * share // total for pair, share in shares.items()}
    rest = sorted(shares, key=lambda p: (-(kills * shares[p] % total), drawn.random()))
    for pair in rest[: kills - sum(counts.values())]:
        counts[pair] += 1
    listed = [pair for pair, count in counts.items() for _ in range(count)]
    drawn.shuffle(listed)
    return listed


def _undisturbed(folder: Path) -> dict[str, tuple[Work, Digests, float]]:
    """Returns every work, its result and the seconds that it takes, from its start."""
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
    found = {}
    for name, work in works(folder).items():
        output = folder / _output(name)
        work.finish(output)
        measured = folder / f"{name}.seconds"
        if not measured.exists():
            begin = time.monotonic()  # of another one, as all is compiled now
            work.finish(_fresh(folder / "again") / output.name)
            measured.write_text(f"{time.monotonic() - begin}\n", "utf-8")
            shutil.rmtree(folder / "again")
        found[name] = work, work.digests(output), float(measured.read_text("utf-8"))
    return found


def _fresh(folder: Path) -> Path:
    """Empties a folder, or makes it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _kill(
    work: Work, output: Path, point: str, seconds: float, drawn: random.Random
) -> dict[str, Any] | None:
    """Starts a work and kills it; returns what is known of it, None if it was done.

    Args:
        work: what is started.
        output: where it goes on.
        point: one of `_POINTS`.
        seconds: that an undisturbed start takes.
        drawn: decides on the moment.
    """
    process = work.run(output, point=point)
    if point == RANDOM:
        _wait(process, seconds * drawn.random(), lambda: False)
    elif point == EVALUATION:
        step = _steps(output) // 3 * 3 + 3
        _wait(process, 600.0, lambda: _steps(output) >= step)
        _wait(process, 0.3 * drawn.random(), lambda: False)
    else:
        _wait(process, math.inf, lambda: False)
    if process.poll() is None:
        process.kill()
    _, errors = process.communicate()
    if process.returncode == 0:
        return None
    if process.returncode != -9:
        raise UserError(f"{work.name} failed: {errors.decode(errors='replace')}")
    time.sleep(_SETTLE_SECONDS)
    saved = [int(p.name) for p in output.glob(f"{CHECKPOINTS}/*") if p.name.isdecimal()]
    again = _steps(output) - max(saved, default=0)
    return {"work": work.name, "point": point, "steps done again": again}


def _wait(process: subprocess.Popen, seconds: float, until: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end and not until():
        time.sleep(0.01)


def _steps(workdir: Path) -> int:
    """Returns the last step in the log of a run; 0 without one."""
    path = workdir / METRICS_FILE
    records = read_metrics(path) if path.exists() else []
    return max((record["step"] for record in records), default=0)


def _rounds(
    work: Work, points: Sequence[str], folder: Path, seconds: float, seed: int
) -> Iterator[tuple[list[dict[str, Any]], Digests]]:
    """Yields the kills of one output after the other, and what it was at its end."""
    waiting = collections.deque(points)
    drawn = random.Random(f"{seed} {work.name} {len(points)}")
    in_vain = 0
    while waiting:
        if in_vain == _IN_VAIN:
            raise UserError(f"{work.name} never comes to {waiting[0]!r}")
        # Model cards bear their folder's name.
        output, killed = _fresh(folder / "killed") / _output(work.name), []
        while waiting and len(killed) < _IN_A_ROW and not work.is_done(output):
            happened = _kill(work, output, waiting[0], seconds, drawn)
            if happened is None:  # it was done before that point came
                break
            killed.append(happened)
            waiting.popleft()
        in_vain = 0 if killed else in_vain + 1
        work.finish(output)
        yield killed, work.digests(output)


def main(_: list[str]) -> None:
    folder = Path(_FOLDER.value).resolve()
    prepared = _undisturbed(folder)
    log = folder / "kills.jsonl"
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    done = [json.loads(line) for line in lines]
    over = collections.Counter((one["work"], one["point"]) for one in done)
    waiting = collections.defaultdict(list)
    for name, point in plan(_KILLS.value, _SEED.value):
        if over[name, point]:
            over[name, point] -= 1
        else:
            waiting[name].append(point)
    for name, (work, wanted, seconds) in prepared.items():
        points = waiting[name]
        for killed, found in _rounds(work, points, folder, seconds, _SEED.value):
            names = wanted.keys() | found.keys()
            lost = sorted(n for n in names if wanted.get(n) != found.get(n))
            with log.open("a", encoding="utf-8") as file:
                for one in killed:
                    done.append({**one, "lost": lost})
                    file.write(json.dumps(done[-1]) + "\n")
                    print(f"kill {len(done)}: {name} {one['point']}: {lost or 'equal'}")
    tables.show({"Kills": _table(done)}, None)
    if any(one["lost"] for one in done):
        raise UserError(f"something was lost: {log} says what")


def _table(done: Sequence[Mapping[str, Any]]) -> list[tables.Row]:
    rows = []
    for work, points in _POINTS.items():
        for point in points:
            of_point = [x for x in done if (x["work"], x["point"]) == (work, point)]
            if of_point:
                rows.append(
                    {
                        "what": work,
                        "killed": point,
                        "count": len(of_point),
                        "steps done again, at most": max(
                            one["steps done again"] for one in of_point
                        ),
                        "lost": sum(bool(one["lost"]) for one in of_point),
                    }
                )
    return rows


if __name__ == "__main__":
    command_line.run(main)
