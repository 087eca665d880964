"""kill -9, again and again, at random moments and at the worst ones; what was lost.

python -m benchmarks.kills --folder=DIR [--kills=50] [--seed=0]

A tiny pretraining, a corpus build and an export are killed, started again as they are,
killed again, and at last compared, bit for bit, with what was never killed. What is
done stands in DIR/kills.jsonl: started again, this program goes on behind it.
"""

import collections
import json
import math
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from amber_jax.commands import command_line
from amber_jax.errors import UserError
from amber_jax.training.checkpoint import CHECKPOINTS
from amber_jax.training.metrics import METRICS_FILE, read_metrics
from benchmarks import interrupted, tables
from benchmarks.interrupted import Digests, Work

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
    interrupted.sample_corpus(folder)
    works = {}
    for name, work in interrupted.works(folder).items():
        output = folder / interrupted.output_of(name)
        work.finish(output)
        measured = folder / f"{name}.seconds"
        if not measured.exists():
            begin = time.monotonic()  # of another one, as all is compiled now
            work.finish(_fresh(folder / "again") / output.name)
            measured.write_text(f"{time.monotonic() - begin}\n", "utf-8")
            shutil.rmtree(folder / "again")
        works[name] = work, work.digests(output), float(measured.read_text("utf-8"))
    return works


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
    process = work.run(output, until=_POINTS[work.name][point][0])
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
        output, killed = (
            _fresh(folder / "killed") / interrupted.output_of(work.name),
            [],
        )
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
    folder = Path(flags.FLAGS.folder).resolve()
    prepared = _undisturbed(folder)
    log = folder / "kills.jsonl"
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    done = [json.loads(line) for line in lines]
    over = collections.Counter((kill["work"], kill["point"]) for kill in done)
    waiting = collections.defaultdict(list)
    for name, point in plan(flags.FLAGS.kills, flags.FLAGS.seed):
        if over[name, point]:
            over[name, point] -= 1
        else:
            waiting[name].append(point)
    for name, (work, wanted, seconds) in prepared.items():
        points = waiting[name]
        for killed, digests in _rounds(work, points, folder, seconds, flags.FLAGS.seed):
            names = wanted.keys() | digests.keys()
            lost = sorted(n for n in names if wanted.get(n) != digests.get(n))
            with log.open("a", encoding="utf-8") as file:
                for kill in killed:
                    done.append({**kill, "lost": lost})
                    file.write(json.dumps(done[-1]) + "\n")
                    print(
                        f"kill {len(done)}: {name} {kill['point']}: {lost or 'equal'}"
                    )
    tables.show({"Kills": _table(done)}, None)
    if any(kill["lost"] for kill in done):
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
                            kill["steps done again"] for kill in of_point
                        ),
                        "lost": sum(bool(kill["lost"]) for kill in of_point),
                    }
                )
    return rows


if __name__ == "__main__":
    flags.DEFINE_string("folder", None, "for everything", required=True)
    flags.DEFINE_integer("kills", 50, "how many", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "of the moments, and of their order")
    command_line.run(main)
