"""Writes the table of docs/pods.md: what the shipped configs take on slices of TPUs.

JAX_PLATFORMS=cpu python docs/pods.py
"""

import runpy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from amber_jax.pretraining import budget, stand_in
from amber_jax.training.slices import CHIPS, emulate

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- python docs/pods.py -->\n", "<!-- until here -->\n"
CONFIGS = (  # and the chips that each is shown on
    ("amber_base.py:sa", ("v5e", 256), ("v5e", 64), ("v5e", 16), ("v5e", 4)),
    ("encoder_continue.py:sa", ("v5e", 16), ("v6e", 4)),
    ("encoder_continue.py:sa,short", ("v5e", 1)),
    ("amber_fifteen.py:sa", ("v5e", 1)),
    ("amber_tiny.py:sa", ("v5e", 1)),
)
MFU = 0.4
DEVICES = 256  # emulated
_HEAD = (
    *("config", "chips", "stage", "state", "gradients", "kept", "peak", "of"),
    *("to make it fit", "FLOPs a step", "hours", "chip-hours", "input MB/s"),
)


def table() -> str:
    """The table, with a row for each stage of each config on each slice."""
    rows = [
        row
        for config, *slices in CONFIGS
        for of in slices
        for row in lines(config, *of)
    ]
    return "\n".join([_row(_HEAD), _row(["---"] * len(_HEAD)), *map(_row, rows), ""])


def lines(name: str, chip: str, count: int) -> Iterator[list[str]]:
    """The rows of a config, named as `FILE:VARIANT`, on `count` chips."""
    limits = CHIPS[chip]
    run = stand_in.prepare(
        config(name, count), stand_in.Rows(), jax.devices()[:count], suited=limits
    )
    for stage in run.stages:
        memory = budget.memory(run, stage)
        planned = budget.schedule(run, stage, limits, MFU)
        yield [
            f"`{name}`",
            f"{count} {chip}",
            stage.name,
            *map(_gb, (memory.state, memory.gradients, memory.kept, memory.peak)),
            _gb(limits.memory),
            _first_change(run, stage, limits.memory, memory.peak),
            f"{planned.step_flops:.2e}",
            _hours(planned.hours),
            _hours(planned.hours * count),
            f"{planned.input_rate / 1e6:,.0f}",
        ]


def config(name: str, count: int) -> Any:
    """A shipped config as pods take it: jit, bfloat16, batches that `count` divides."""
    file, _, variant = name.partition(":")
    made = runpy.run_path(str(ROOT / "configs" / file))["get_config"](variant)
    made = made.copy_and_resolve_references()
    made.backend, made.model.dtype = "jit", "bfloat16"
    made.row_multiple = max(made.row_multiple, count)
    return made


def _first_change(run: Any, stage: Any, limit: float, peak: int) -> str:
    if peak <= limit:
        return "it fits"
    for flags, *changed in budget.smaller(run, stage):
        if (then := budget.memory(*changed).peak) <= limit:
            return f"`{flags.replace('--config.', '')}`: {_gb(then)}"
    return "more chips"


def _hours(hours: float) -> str:
    if hours < 0.01:
        return "under 0.01"
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2f}"


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """The page with the table as it is now."""
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    emulate(DEVICES)
    PAGE.write_text(page(), "utf-8")
