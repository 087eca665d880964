"""What a person sees of a run: lines, and in a terminal a bar below them.

A view of the metrics records and nothing else; `NO_COLOR` is honored by `rich`.
"""

import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

Record = Mapping[str, Any]

ETA_RECORDS = 50  # the speed is that of the latest records, not of the whole run
_NOT_LOSSES = frozenset(
    {
        *("kind", "step", "stage", "learning_rate", "grad_norm", "skipped_steps"),
        *("tokens", "tokens_per_second", "data_wait_share", "host_share"),
        *("device_share", "model_flops_per_second", "mfu", "peak_resident_bytes"),
        *("open_descriptors", "forecast_share", "slowest_process"),
        *("slowest_data_wait_share", "slowest_device_share", "median_device_share"),
    }
)
_NOT_SCORES = frozenset(
    {"kind", "step", "stage", "evaluation", "average", "peak_resident_bytes"}
)


class Console:
    """Shows a run of `total_steps` on `stream`, stdout by default.

    Every record is one line. A terminal has a bar below them; use as a context
    manager, so that it is taken away whatever happens.
    """

    def __init__(self, total_steps: int, *, stream: TextIO | None = None):
        self._total_steps = total_steps
        self._rich = RichConsole(
            file=stream or sys.stdout, highlight=False, soft_wrap=True
        )
        self._bar = Progress(
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
            *(TextColumn("eta {task.fields[eta]}"), TextColumn("{task.fields[saved]}")),
            console=self._rich,
            transient=True,
            disable=not self._rich.is_terminal or self._rich.is_dumb_terminal,
        )
        self._task = self._bar.add_task("", total=total_steps, eta="?", saved="")
        self._clock: deque[tuple[float, int]] = deque(maxlen=ETA_RECORDS)

    def __enter__(self) -> "Console":
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def train(self, record: Record) -> None:
        """Shows a train record; `data_wait_share` in [0, 1] is shown if present."""
        step = int(record["step"])
        self._clock.append((time.monotonic(), step))
        eta = _duration(self._eta())
        self._bar.update(
            self._task, description=str(record["stage"]), completed=step, eta=eta
        )
        self._rich.print(Text(_line(record, self._total_steps, eta)))

    def evaluation(self, record: Record) -> None:
        """Prints an eval record: the average, and each score; of a language with two
        directions their mean.
        """
        self._rich.print(Text(_evaluation_line(record), style="cyan"))

    def event(self, record: Record) -> None:
        """Prints an event record: a sentence."""
        name = record["event"].replace("_", " ")
        line = f"{name} at step {record['step']}: {record['text']}"
        self._rich.print(Text(line, style="yellow"))

    def checkpoint(self, step: int) -> None:
        """Shows `step` as the last one that was saved, beside the bar."""
        self._bar.update(self._task, saved=f"checkpoint {step:,}")

    def note(self, text: str) -> None:
        """Prints one line."""
        self._rich.print(Text(text))

    def _eta(self) -> float | None:
        """Returns the seconds left at the present speed; None before it is known."""
        (start, first_step), (now, step) = self._clock[0], self._clock[-1]
        if step == first_step:
            return None
        return (self._total_steps - step) * (now - start) / (step - first_step)


def _line(record: Record, total_steps: int, eta: str) -> str:
    width = len(str(total_steps))
    losses = [
        f"{name} {_number(value)}"
        for name, value in _losses(record).items()
        if not name.endswith("_share")
    ]
    progress = f"{record['stage']} {record['step']:>{width}}/{total_steps}"
    signs = [*_vital_signs(record), f"eta {eta}"]
    return "  ".join([progress, *losses, *signs])


def _vital_signs(record: Record) -> list[str]:
    """Returns what of speed and health the record holds, worded."""
    words = {
        "learning_rate": lambda rate: f"lr {rate:.3g}",
        "grad_norm": lambda norm: f"grad {norm:.3g}",
        "tokens_per_second": lambda speed: f"{_count(speed)} tokens/s",
        "data_wait_share": lambda share: f"data wait {share:.0%}",
        "mfu": lambda share: f"MFU {share:.1%}",
        "forecast_share": lambda share: f"{share:.0%} of the forecast",
        "peak_resident_bytes": lambda size: f"{size / 1e9:.1f} GB",
        "skipped_steps": lambda steps: f"skipped {steps:.0f}" if steps else "",
    }
    present = [word(record[name]) for name, word in words.items() if name in record]
    return [word for word in present if word]


def _evaluation_line(record: Record) -> str:
    parts = [f"{record['evaluation']} at step {record['step']}"]
    if "average" in record:
        parts.append(f"average {_percent(record['average'])}")
    parts += [
        f"{language} {_percent(sum(scores) / len(scores))}"
        for language, scores in _scores_by_language(record).items()
    ]
    return "  ".join(parts)


def _scores_by_language(record: Record) -> dict[str, list[float]]:
    scores: dict[str, list[float]] = {}
    for name, value in record.items():
        if name not in _NOT_SCORES:
            scores.setdefault(name.partition("/")[0], []).append(value)
    return scores


def _losses(record: Record) -> dict[str, float]:
    return {name: value for name, value in record.items() if name not in _NOT_LOSSES}


def _number(value: float) -> str:
    return f"{value:#.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _count(number: float) -> str:
    return f"{number / 1e3:.1f}k" if number >= 1e4 else f"{number:.0f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"
