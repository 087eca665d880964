"""Compares training steps on the same work, in one run: ours, and other programs'.

    python -m benchmarks.compare --work=full --peer_python=PEER/bin/python \
        --google_bert=CHECKOUT --core=0
    python -m benchmarks.compare --work=pairs --peer_python=PEER/bin/python --core=0
    python -m benchmarks.compare --work=losses --size=base --core=0
    python -m benchmarks.compare --work=full --size=base --rows=256 --device=gpu \
        --peer_python=PEER/bin/python

PEER is an environment with the extra `bench`, CHECKOUT one of google-research/bert.
Every program is a process of its own and they take turns; printed are medians, of real
tokens only, with every program's settings below. All programs get batches of as many
rows; in pairs, ours hold several pairs each and the peers' one.

On a machine that others use too, give --core: pinned to one core a program does not
spin while it waits for its own threads, and its CPU time says how fast it is.
"""

import contextlib
import os
import tempfile
from pathlib import Path

from absl import flags

from amber_jax.commands import command_line
from amber_jax.errors import UserError
from benchmarks import programs, rounds, tuned, workload

_WORK = flags.DEFINE_enum("work", "full", programs.WORK, "what is compared")
_SIZE = flags.DEFINE_enum("size", "small", [*workload.SIZES], "of all programs")
_ROWS = flags.DEFINE_integer("rows", 0, "of a batch; 0: the size's", lower_bound=0)
_ROW_LENGTH = flags.DEFINE_integer(
    "row_length", 0, "tokens; 0: 256 for --work=pairs, else the size's", lower_bound=0
)
_STEPS = flags.DEFINE_integer("steps", 8, "timed ones of a program", lower_bound=1)
_WARMUP = flags.DEFINE_integer("warmup", 2, "untimed ones", lower_bound=1)
_WAIT_IDLE = flags.DEFINE_bool("wait_idle", False, "before steps, for 8 s at most")
_ROUNDS = flags.DEFINE_integer(
    "rounds", 3, "how often each program runs", lower_bound=1
)
_CORE = flags.DEFINE_integer("core", None, "run everything on this core alone")
_DEVICE = flags.DEFINE_enum("device", "cpu", programs.DEVICES, "of all programs")
_PEER_PYTHON = flags.DEFINE_string("peer_python", "", "with the extra bench")
_GOOGLE_BERT = flags.DEFINE_string("google_bert", "", "checkout; empty: left out")
_TUNED = flags.DEFINE_bool("tuned", True, "also run peers as an expert would")
_ALLOCATOR = flags.DEFINE_string(
    "allocator", "", "library that tuned peers preload; empty: the first one installed"
)
_JSON = flags.DEFINE_string("json", None, "write every result here, one a line")


def main(_: list[str]) -> None:
    if _CORE.value is not None:
        pin(_CORE.value)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context(json_lines(_JSON.value))
        compared = programs.build(comparison(folder))
        results = rounds.run(compared, _ROUNDS.value, environment=os.environ, log=log)
    print(rounds.table(results, programs.REFERENCES[_WORK.value]))
    print()
    for program in compared:
        print(f"{program.name}: {program.shown()}")
    failed = [name for name, every in results.items() if len(every) < _ROUNDS.value]
    if failed:
        raise UserError(
            f"{', '.join(failed)} gave less than {_ROUNDS.value} results; the reason "
            "is above the table, and the command below it shows it in full"
        )


def comparison(folder: Path) -> programs.Comparison:
    shared = [f"--size={_SIZE.value}", f"--rows={_ROWS.value}"]
    shared += [f"--steps={_STEPS.value}", f"--warmup={_WARMUP.value}"]
    shared += ["--wait_idle"] if _WAIT_IDLE.value else []
    return programs.Comparison(
        work=_WORK.value,
        device=_DEVICE.value,
        shared=tuple(shared),
        row_length=_ROW_LENGTH.value,
        peer_python=absolute(_PEER_PYTHON.value),
        google_bert=absolute(_GOOGLE_BERT.value),
        with_tuned=_TUNED.value,
        allocator=allocator(),
        folder=folder,
    )


def allocator() -> Path | None:
    if not _ALLOCATOR.value:
        return tuned.find_allocator()
    if not Path(_ALLOCATOR.value).is_file():
        raise UserError(
            f"--allocator is {_ALLOCATOR.value!r}, not a file; give it the path of a "
            "libtcmalloc_minimal.so or leave it out"
        )
    return Path(_ALLOCATOR.value).absolute()


def absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""


def json_lines(path: str | None) -> contextlib.AbstractContextManager:
    if not path:
        return contextlib.nullcontext()
    try:
        return Path(path).open("w", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--json is {path!r}, which cannot be written ({error.strerror}); give it "
            "a file in a folder that is there"
        ) from error


def pin(core: int) -> None:
    allowed = os.sched_getaffinity(0)
    if core not in allowed:
        raise UserError(
            f"--core is {core}, but this process may use "
            f"{', '.join(map(str, sorted(allowed)))}; choose one of them"
        )
    os.sched_setaffinity(0, {core})  # what it starts is pinned with it


if __name__ == "__main__":
    command_line.run(main)
