"""What all peers share: the flags of the common work, and what they measure."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import timing, workload


def parser() -> argparse.ArgumentParser:
    """Returns a parser of the flags that every program of a comparison takes."""
    flags = argparse.ArgumentParser(allow_abbrev=False)
    flags.add_argument("--size", default="small", choices=workload.SIZES)
    flags.add_argument("--lengths", default="full", choices=workload.LENGTHS)
    flags.add_argument("--row_length", type=int, default=0, help="0: the size's")
    flags.add_argument("--rows", type=int, default=0, help="0: the size's")
    flags.add_argument("--dropout", type=float, default=0.1)
    flags.add_argument("--steps", type=int, default=8, help="timed ones")
    flags.add_argument("--warmup", type=int, default=2, help="untimed ones")
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--wait_idle", action="store_true")
    flags.add_argument(
        "--hold", action="store_true", help="wait for a line before the timed steps"
    )
    return flags


def work(flags: argparse.Namespace) -> tuple[workload.Size, list[workload.Batch]]:
    """Returns the size and the batches that the flags ask for."""
    size = workload.sized(flags.size, row_length=flags.row_length, rows=flags.rows)
    batches = workload.first_batches(
        size, flags.warmup + flags.steps, lengths=flags.lengths, seed=flags.seed
    )
    return size, batches


def run(
    name: str,
    flags: argparse.Namespace,
    size: workload.Size,
    batches: Sequence[workload.Batch],
    update: Callable[[int], float],
    *,
    parameters: int,
    positions: int,
    versions: Mapping[str, Any],
) -> dict[str, Any]:
    """Runs all steps and returns what the line of a program holds.

    Args:
        name: of the program.
        flags: as parsed.
        size: of the model.
        batches: one for each step.
        update: number of the step -> its loss.
        parameters: how many the model has.
        positions: tokens of all batches, padding included.
        versions: of what the program stands on, shown among its settings.
    """
    measured = timing.measure(
        _held(update, flags.warmup - 1) if flags.hold else update,
        warmup=flags.warmup,
        tokens=[batch.n_real for batch in batches],
        flops=[workload.training_flops(size, batch) for batch in batches],
        idle=flags.wait_idle,
    )
    real = sum(batch.n_real for batch in batches)
    return {
        "program": name,
        "settings": vars(flags) | dict(versions),
        "parameters": parameters,
        "real_share": round(real / positions, 4),
        **measured,
    }


def _held(update: Callable[[int], float], last: int) -> Callable[[int], float]:
    """Returns `update`, which after step `last` says so and waits for an answer."""

    def run(step: int) -> float:
        loss = update(step)
        if step == last:
            print("ready", flush=True)
            input()
        return loss

    return run
