"""What a person sees of a run: a live panel in a terminal, plain lines elsewhere.

A view of the metrics records and nothing else; `NO_COLOR` is honoured by `rich`.
"""

import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console as RichConsole
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

Record = Mapping[str, Any]

REFRESH_SECONDS = 0.2  # of the live panel
ETA_RECORDS = 50  # the speed is that of the latest records, not of the whole run
_NOT_LOSSES = frozenset(
    {
        *("kind", "step", "stage", "learning_rate", "grad_norm", "skipped_steps"),
        *("tokens", "tokens_per_second", "data_wait_share", "host_share"),
        *("device_share", "model_flops_per_second", "mfu", "peak_resident_bytes"),
    }
)
_NOT_SCORES = frozenset(
    {"kind", "step", "stage", "evaluation", "average", "peak_resident_bytes"}
)


class Console:
    """Shows a run of `total_steps` on `stream`, stdout by default.

    Use as a context manager, so that the terminal is put in order whatever happens.
    Without a terminal, every `every`-th step and the first and last print one line.
    """

    def __init__(
        self, total_steps: int, *, every: int = 1, stream: TextIO | None = None
    ):
        self._total_steps = total_steps
        self._every = every
        stream = stream or sys.stdout
        self._rich = RichConsole(file=stream, highlight=False, soft_wrap=True)
        self._is_live = stream.isatty() and not self._rich.is_dumb_terminal
        self._live: Live | None = None
        self._shown_at = -REFRESH_SECONDS
        self._clock: deque[tuple[float, int]] = deque(maxlen=ETA_RECORDS)
        self._checkpoint: int | None = None
        self._last: Record | None = None

    def __enter__(self) -> "Console":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def train(self, record: Record) -> None:
        """Shows a train record; `data_wait_share` in [0, 1] is shown if present."""
        self._clock.append((time.monotonic(), int(record["step"])))
        if self._is_live:
            self._last = record
            self._refresh()
        elif self._is_due(int(record["step"])):
            self._rich.print(Text(_line(record, self._total_steps, self._eta())))

    def evaluation(self, record: Record) -> None:
        """Prints an eval record: the average and each language's mean direction."""
        self._rich.print(Text(_evaluation_line(record), style="cyan"))

    def checkpoint(self, step: int) -> None:
        """Remembers `step` as the last one that was saved, for the panel."""
        self._checkpoint = step

    def note(self, text: str) -> None:
        """Prints one line that stays, above the panel if there is one."""
        self._rich.print(Text(text))

    def close(self) -> None:
        """Leaves the last panel on the screen and gives the terminal back."""
        self._show()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _is_due(self, step: int) -> bool:
        first = len(self._clock) == 1
        return first or step % self._every == 0 or step == self._total_steps

    def _eta(self) -> float | None:
        """Returns the seconds left at the present speed; None before it is known."""
        (start, first_step), (now, step) = self._clock[0], self._clock[-1]
        if step == first_step:
            return None
        return (self._total_steps - step) * (now - start) / (step - first_step)

    def _refresh(self) -> None:
        if self._live is None:
            self._live = Live(console=self._rich, auto_refresh=False)
            self._live.start()
        if time.monotonic() - self._shown_at >= REFRESH_SECONDS:
            self._show()

    def _show(self) -> None:
        if self._live is None or self._last is None:
            return
        self._shown_at = time.monotonic()
        panel = _panel(self._last, self._total_steps, self._eta(), self._checkpoint)
        self._live.update(panel, refresh=True)


def _line(record: Record, total_steps: int, eta: float | None) -> str:
    width = len(str(total_steps))
    losses = [
        f"{name} {_number(value)}"
        for name, value in _losses(record).items()
        if not name.endswith("_share")
    ]
    progress = f"{record['stage']} {record['step']:>{width}}/{total_steps}"
    signs = [*_vital_signs(record), f"eta {_duration(eta)}"]
    return "  ".join([progress, *losses, *signs])


def _vital_signs(record: Record) -> list[str]:
    """Returns what of speed and health the record holds, worded."""
    words = {
        "learning_rate": lambda rate: f"lr {rate:.3g}",
        "grad_norm": lambda norm: f"grad {norm:.3g}",
        "tokens_per_second": lambda speed: f"{_count(speed)} tokens/s",
        "data_wait_share": lambda share: f"data wait {share:.0%}",
        "mfu": lambda share: f"MFU {share:.1%}",
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


def _panel(
    record: Record, total_steps: int, eta: float | None, checkpoint: int | None
) -> Panel:
    step = int(record["step"])
    head = Table.grid(padding=(0, 2), expand=True)
    head.add_column(no_wrap=True)
    head.add_column(ratio=1)
    head.add_column(no_wrap=True)
    bar = ProgressBar(total=total_steps, completed=step)
    head.add_row(f"{step:,}/{total_steps:,}", bar, f"eta {_duration(eta)}")
    saved = "none yet" if checkpoint is None else f"step {checkpoint:,}"
    foot = Text("  ".join([*_vital_signs(record), f"checkpoint {saved}"]), "dim")
    title = Text(str(record["stage"]), "bold")
    return Panel(Group(head, _loss_grid(record), foot), title=title, title_align="left")


def _loss_grid(record: Record) -> Table:
    """Returns names and numbers in two pairs of columns."""
    grid = Table.grid(padding=(0, 2))
    cells = [
        (Text(name.replace("_", " ")), Text(_number(value), "bold"))
        for name, value in _losses(record).items()
    ]
    half = (len(cells) + 1) // 2
    for index, left in enumerate(cells[:half]):
        right = cells[half + index] if half + index < len(cells) else ("", "")
        grid.add_row(*left, *right)
    return grid


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
