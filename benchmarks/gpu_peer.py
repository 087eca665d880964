"""The reference library's step on the first work, compiled while ours are.

It runs in a process of its own, which waits between compiling and timing, so that
nothing else is on the GPU while it is timed.
"""

import json
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any, NamedTuple

from benchmarks import own_step, programs

_STEPS_LIMIT_S = 60.0


class Peer(NamedTuple):
    """The process, and what it complains of."""

    process: subprocess.Popen
    errors: IO[str]


def start(python: str, name: str, run: own_step.Settings, device: Any) -> Peer:
    """Starts it.

    Args:
        python: an interpreter with torch and transformers.
        name: of the size.
        run: our step on the work.
        device: of ours.
    """
    command = [python, *programs.HUGGINGFACE, programs.TUNED_HEAD, "--hold"]
    command += [f"--size={name}", f"--rows={run.size.rows}"]
    command += [f"--row_length={run.size.row_length}"]
    command += [f"--steps={run.steps}", f"--warmup={run.warmup}"]
    if device.platform == "gpu":
        command += [programs.COMPILED, *programs.ON_GPU]
    errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
    return Peer(process, errors)


def measure(peer: Peer, deadline: float) -> Any:
    """Returns its figures, or a sentence why there are none.

    Args:
        peer: from `start`.
        deadline: of `time.monotonic`, until when it has to be compiled.
    """
    with peer.errors:
        try:
            return _figures(peer, deadline)
        finally:
            peer.process.kill()
            peer.process.wait()


def _figures(peer: Peer, deadline: float) -> Any:
    process, errors = peer
    reader = threading.Thread(target=process.stdout.readline, daemon=True)
    reader.start()
    reader.join(max(0.0, deadline - time.monotonic()))
    if reader.is_alive():
        return "It was left out, because it was not compiled by its limit."
    try:
        printed, _ = process.communicate("go\n", timeout=_STEPS_LIMIT_S)
    except subprocess.TimeoutExpired:
        return "It was left out, because its steps did not end by their limit."
    if process.returncode:
        errors.seek(0)
        reason = (errors.read().strip().splitlines() or ["it did not say why"])[-1]
        return f"It failed: {reason[:300]}."
    figures = json.loads(printed.splitlines()[-1])
    names = ("step_ms", "tokens_per_s", "first_step_s", "peak_device_mb", "settings")
    return {name: figures[name] for name in names if name in figures}
